package relay

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// Every process of a slot tells the others that it is there, for people who
// want to see all of them. Nothing else relies on it. They share one hash
// beside the stream, so nobody has to search for keys, and each goes by its own
// clock alone: no two machines' clocks are compared.

// RoleLeader is the role of who holds the slot: it comes first among peers.
const RoleLeader = "leader"

// Peer is a process of the slot as it has described itself.
type Peer struct {
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

// Peers is the hash, and when each process has last been heard.
type Peers struct {
	client redis.UniversalClient
	key    string
	beat   uint64
	heard  map[string]hearing // by ID
}

// Peers are those who share the slot of s; nil where the relay is a model of a
// test: then nobody is told.
func (c *Config) Peers(s *Stream) *Peers {
	if c.Client == nil {
		return nil
	}
	return &Peers{client: c.Client, key: s.Key + ":members"}
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
	Peer
}

// Meet notes what one process says, drops who has been silent for life, and
// returns the others with the age of their words. Simple commands on one key:
// roles that may run no scripts can do it, and clusters.
func (r *Peers) Meet(ctx context.Context, m Peer, life time.Duration) ([]Peer, error) {
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
	peers, silent := r.hear(found.Val(), m.ID, life)
	if len(silent) == 0 {
		return peers, nil
	}
	return peers, r.Part(ctx, silent...)
}

// hear sorts those who are there from those who are silent. Words that can't
// be read, for instance of another version, are silent too.
func (r *Peers) hear(found map[string]string, self string, life time.Duration) (peers []Peer, silent []string) {
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
			peers = append(peers, w.Peer)
		}
	}
	r.heard = heard
	slices.SortFunc(peers, func(a, b Peer) int {
		if leads := a.Role == RoleLeader; leads != (b.Role == RoleLeader) {
			if leads {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.PID, b.PID), cmp.Compare(a.ID, b.ID))
	})
	return peers, silent
}

// Part takes processes out.
func (r *Peers) Part(ctx context.Context, ids ...string) error {
	return r.client.HDel(ctx, r.key, ids...).Err()
}
