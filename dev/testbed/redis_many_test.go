package testbed

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSentinelPromotesTheReplica(t *testing.T) {
	master := NewRedis(t, "--repl-diskless-sync-delay", "0")
	replica := NewRedisReplica(t, master)
	sentinel := NewSentinel(t, master)
	must(t, sentinel.await(t.Context(), "SENTINEL master "+MasterName, fmt.Sprint(master.Port())))
	must(t, sentinel.await(t.Context(), "INFO sentinel", fmt.Sprintf("master0:name=%s,status=ok,address=127.0.0.1:%d,slaves=1,sentinels=1", MasterName, master.Port())))
	must(t, master.Kill())
	must(t, sentinel.await(t.Context(), "SENTINEL get-master-addr-by-name "+MasterName, fmt.Sprint(replica.Port())))
	must(t, replica.await(t.Context(), "INFO replication", "role:master"))
}

func TestClusterSharesTheSlots(t *testing.T) {
	nodes := NewRedisCluster(t, 3)
	moved := 0
	for _, node := range nodes {
		got, err := command(t, node.Port(), "SET {a} 1", 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(got, "-MOVED ") {
			moved++
		}
	}
	if moved != 2 {
		t.Errorf("%d of 3 nodes sent the key elsewhere", moved)
	}
}
