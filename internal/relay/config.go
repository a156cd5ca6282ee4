package cdc

import (
	"time"

	"github.com/redis/go-redis/v9"

	"walpurge/internal/redisclient"
)

// Relay is the Redis stream through which the process that holds the slot,
// the leader, tells the others what it has received. It is one key, so a
// cluster needs no hash tag for it and no command spans keys.
type Relay struct {
	// Client has connections that nobody else waits for: some of them block.
	Client    redis.UniversalClient
	Namespace string // the key begins with it

	MaxEntries int           // that the stream keeps; 0: 100,000
	MaxBytes   int64         // of what it keeps; 0: 64 MiB
	Patience   time.Duration // how long WAL is kept for a Redis that doesn't take entries; 0: 10 s
}

// key is the stream's. Services that share a Redis, and perhaps never thought
// of a namespace, seldom share the names of database and slot as well.
func (r *Relay) key(database, slot string) string {
	return r.Namespace + ":relay:" + database + ":" + slot
}

// RelayClient makes the client of a Relay from a URL, of which package
// redisclient knows the forms. It tries nothing twice on its own, save in a
// cluster: what was sent and not answered may have been done, and the relay
// finds that out.
func RelayClient(url string) (redis.UniversalClient, error) {
	return redisclient.New(url, redisclient.Limits{Wait: relayWait, PoolSize: 4})
}

// Bounds of the relay.
const (
	relayEntries   = 100_000
	relayBytes     = 64 << 20
	relayPatience  = 10 * time.Second
	relayLife      = 24 * time.Hour         // of the stream without a leader
	relayWait      = time.Second            // for one command
	relayBlock     = 250 * time.Millisecond // for an entry
	relayPage      = 512                    // entries read at once
	keyframeEvery  = 128                    // entries
	heartbeatEvery = 10 * time.Second       // a keyframe when nothing else happens
	markPause      = 5 * time.Millisecond   // between two entries without a transaction
	entryBytes     = 256 << 10              // an entry takes no further transaction beyond it
	lookBack       = 16 << 10               // an entry up to this size is looked for when the next is written
	bulkyBytes     = 4 << 20                // a larger transaction is relayed as whole tables
)
