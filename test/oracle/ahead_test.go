package oracle

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// TestOracleReadAhead does so while the server's walsender stands still most
// of the time, so that two proxies live on what the leader reads ahead of it.
func TestOracleReadAhead(t *testing.T) {
	duration, least := rig.TrialOf(20*time.Second, 5000)
	r := rig.New(t, rig.Options{Redis: testbed.SharedRedis(t), Proxies: 2, Routes: rig.OracleRoutes})
	tr := rig.NewTrial(r, rig.Members(append([]*rig.Rig{r}, r.Peers...)...), rig.MixedCrew)
	tr.LeastHits = 5 // purges are by whole tables: hits are few
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- stutter(ctx, r.DBURL) }()
	tr.Run(duration, least)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	tr.Judge(0.02)
	tr.JudgeHistories()
	ahead := 0.0
	for _, p := range append([]*rig.Rig{r}, r.Peers...) {
		ahead += p.Metric("walpurge_read_ahead_transactions_total")
	}
	testbed.Measured(t, "%.0f transactions were read ahead", ahead)
	if changes := float64(tr.Changes.Load()); ahead < changes/10 {
		t.Errorf("%.0f of %.0f transactions were read ahead", ahead, changes)
	}
}

// stutter stops the walsender of the database's slot again and again, for as
// long as it takes to be behind, and writes enough for that.
func stutter(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		var pid int
		err := conn.QueryRow(ctx, "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", rig.SlotName(url)).Scan(&pid)
		if err == nil {
			err = stand(ctx, conn, pid, tick.C)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("stop the walsender: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

// stand stops the process pid until next.
func stand(ctx context.Context, conn *pgx.Conn, pid int, next <-chan time.Time) (err error) {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, syscall.Kill(pid, syscall.SIGCONT)) }()
	if _, err := conn.Exec(ctx, "SELECT pg_logical_emit_message(false, 'lots', repeat('x', 1500000))"); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-next:
	}
	return nil
}
