package cdc

import (
	"context"
	"crypto/rand"
	"os"
	"time"

	"walpurge/internal/relay"
	"walpurge/internal/retry"
)

const (
	peerEvery = 2 * time.Second
	peerLife  = 10 * time.Second // without a word
)

// gather says every two seconds that this process is there, and notes who
// else is. Redis being away is known elsewhere; then nobody is known.
func (f *follower) gather(ctx context.Context) error {
	if f.peers == nil {
		return nil
	}
	id := rand.Text()[:12]
	host, _ := os.Hostname() // an empty one still has its process ID
	said := false
	for ctx.Err() == nil {
		s, behind := f.describe(), int64(-1)
		if s.Behind >= 0 {
			behind = s.Behind.Milliseconds()
		}
		within, cancel := context.WithTimeout(ctx, relay.Wait)
		members, err := f.peers.Meet(within, relay.Peer{
			ID: id, Host: host, PID: os.Getpid(), Role: s.Role, State: s.State, Epoch: s.Epoch, Applied: s.Applied, Behind: behind,
		}, peerLife)
		cancel()
		if ctx.Err() != nil {
			break
		}
		said = said || err == nil
		f.mu.Lock()
		f.mu.members = members
		f.mu.Unlock()
		retry.Wait(ctx, peerEvery)
	}
	if said {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), relay.Wait)
		defer cancel()
		_ = f.peers.Part(within, id) // else its words expire
	}
	return nil
}

// members are who was there two seconds ago.
func (f *follower) members() []relay.Peer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.members
}
