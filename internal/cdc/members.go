package cdc

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"walpurge/internal/relay"
	"walpurge/internal/retry"
)

// Every process of a slot tells the others that it is there, for people who
// want to see all of them. Nothing else relies on it. They share one hash
// beside the stream, so nobody has to search for keys, and each goes by its own
// clock alone: no two machines' clocks are compared.
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

// register is the hash, and when each process has last been heard.
type register struct {
	client redis.UniversalClient // nil: nobody is told, as where the relay is a model of a test
	key    string
	beat   uint64
	heard  map[string]hearing // by ID
}

// hearing is what a process has said last, and when by this process's clock.
type hearing struct {
	beat uint64
	at   time.Time
}

// word is what lies in the hash. A process that says the same beat again and
// again is silent.
type word struct {
	Beat uint64
	Member
}

// meet notes what one process says, drops who has been silent for life, and
// returns the others with the age of their words. Simple commands on one key:
// roles that may run no scripts can do it, and clusters.
func (r *register) meet(ctx context.Context, m Member, life time.Duration) ([]Member, error) {
	r.beat++
	said, err := json.Marshal(word{r.beat, m})
	if err != nil {
		return nil, err
	}
	var found *redis.MapStringStringCmd
	_, err = r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, r.key, m.ID, said)
		p.PExpire(ctx, r.key, life)
		found = p.HGetAll(ctx, r.key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	members, silent := r.hear(found.Val(), m.ID, life)
	if len(silent) == 0 {
		return members, nil
	}
	return members, r.part(ctx, silent...)
}

// hear sorts those who are there from those who are silent. Words that can't
// be read, for instance of another version, are silent too.
func (r *register) hear(found map[string]string, self string, life time.Duration) (members []Member, silent []string) {
	now, heard := time.Now(), make(map[string]hearing, len(found))
	for id, said := range found {
		var w word
		_ = json.Unmarshal([]byte(said), &w)
		h, known := r.heard[id]
		if !known || h.beat != w.Beat {
			h = hearing{w.Beat, now}
		}
		heard[id] = h
		switch since := now.Sub(h.at); {
		case since > life:
			silent = append(silent, id)
		case w.ID == id:
			w.Since, w.Self = since.Milliseconds(), id == self
			members = append(members, w.Member)
		}
	}
	r.heard = heard
	slices.SortFunc(members, func(a, b Member) int {
		if leads := a.Role == roleLeader; leads != (b.Role == roleLeader) {
			if leads {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.PID, b.PID), cmp.Compare(a.ID, b.ID))
	})
	return members, silent
}

// part takes processes out.
func (r *register) part(ctx context.Context, ids ...string) error {
	return r.client.HDel(ctx, r.key, ids...).Err()
}

// gather says every two seconds that this process is there, and notes who
// else is. Redis being away is known elsewhere; then nobody is known.
func (f *follower) gather(ctx context.Context) error {
	if f.register.client == nil {
		return nil
	}
	id := rand.Text()[:12]
	host, _ := os.Hostname() // an empty one still has its process ID
	said := false
	for ctx.Err() == nil {
		s, behind := f.l.Status(), int64(-1)
		if s.Behind >= 0 {
			behind = s.Behind.Milliseconds()
		}
		within, cancel := context.WithTimeout(ctx, relay.Wait)
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
		retry.Wait(ctx, memberEvery)
	}
	if said {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), relay.Wait)
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
