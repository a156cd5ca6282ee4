package cdc

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Every process of a slot tells the others that it is there, for people who
// want to see all of them. Nothing else relies on it. They share one hash
// beside the stream, so nobody has to search for keys, and its times are
// those of Redis alone: no two machines' clocks are compared.
const (
	memberEvery = 2 * time.Second
	memberLife  = 10 * time.Second // without a word
)

// Member is a process of the slot as it has described itself.
type Member struct {
	ID      string `json:"id"`   // of this run
	Host    string `json:"host"` // name of the machine
	PID     int    `json:"pid"`
	Role    string `json:"role"`
	State   string `json:"state"`
	Epoch   string `json:"epoch"`
	Applied string `json:"applied"`
	Behind  int64  `json:"behind_ms"` // age of its last proof of freshness; -1: none

	Self  bool  `json:"self,omitempty"` // the process that says all this
	Since int64 `json:"since_ms"`       // that it has said so
}

// meet notes what one process says, drops who has been silent for too long,
// and returns the others with the age of their words.
var meet = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local life = tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], life)
local all = redis.call('HGETALL', KEYS[1])
local found = {}
for i = 1, #all, 2 do
  local at, said = string.match(all[i + 1], '^(%d+) (.*)$')
  if not at or now - at > life then
    redis.call('HDEL', KEYS[1], all[i])
  else
    found[#found + 1] = string.format('%.0f', now - at) .. ' ' .. said
  end
end
return found
`)

// register is the hash.
type register struct {
	client redis.UniversalClient
	key    string
}

func (r register) meet(ctx context.Context, m Member, life time.Duration) ([]Member, error) {
	said, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	found, err := meet.Run(ctx, r.client, []string{r.key}, m.ID, said, life.Milliseconds()).StringSlice()
	if err != nil {
		return nil, err
	}
	return readMembers(found, m.ID), nil
}

// readMembers reads what meet returns. Words of another version that can't be
// read are left out.
func readMembers(found []string, self string) []Member {
	var members []Member
	for _, line := range found {
		age, said, _ := strings.Cut(line, " ")
		var m Member
		if _, err := fmt.Sscan(age, &m.Since); err != nil {
			continue
		}
		since := m.Since
		if json.Unmarshal([]byte(said), &m) != nil {
			continue
		}
		m.Since, m.Self = since, m.ID == self
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b Member) int {
		if (a.Role == roleLeader) != (b.Role == roleLeader) {
			if a.Role == roleLeader {
				return -1
			}
			return 1
		}
		return strings.Compare(fmt.Sprint(a.Host, " ", a.PID, a.ID), fmt.Sprint(b.Host, " ", b.PID, b.ID))
	})
	return members
}

func (r register) part(ctx context.Context, id string) error {
	return r.client.HDel(ctx, r.key, id).Err()
}

// gather says every two seconds that this process is there, and notes who
// else is. Redis being away is known elsewhere; then nobody is known.
func (f *follower) gather(ctx context.Context) error {
	id := rand.Text()[:12]
	host, _ := os.Hostname() // an empty one still has its process ID
	said := false
	for ctx.Err() == nil {
		s, behind := f.l.Status(), int64(-1)
		if s.Behind >= 0 {
			behind = s.Behind.Milliseconds()
		}
		within, cancel := context.WithTimeout(ctx, relayWait)
		members, err := f.register.meet(within, Member{
			ID: id, Host: host, PID: os.Getpid(), Role: s.Role, State: s.State, Epoch: s.Epoch, Applied: s.Applied, Behind: behind,
		}, memberLife)
		cancel()
		if ctx.Err() != nil {
			break
		}
		said = said || err == nil
		f.mu.Lock()
		f.mu.members = members
		f.mu.Unlock()
		wait(ctx, memberEvery)
	}
	if said {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayWait)
		defer cancel()
		_ = f.register.part(within, id) // else its words expire
	}
	return nil
}

// members are who was there two seconds ago.
func (f *follower) members() []Member {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.members
}
