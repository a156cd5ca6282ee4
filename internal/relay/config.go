package relay

import (
	"time"

	"github.com/redis/go-redis/v9"

	"walpurge/internal/redisclient"
)

// Config says which stream is the relay. It is one key, so a cluster needs no
// hash tag for it and no command spans keys.
type Config struct {
	// Client has connections that nobody else waits for: some of them block.
	Client    redis.UniversalClient
	Setting   string // what the operator calls its URL: log lines name it
	Namespace string // the key begins with it

	MaxEntries int           // that the stream keeps; 0: 100,000
	MaxBytes   int64         // of what it keeps; 0: 64 MiB
	Patience   time.Duration // how long WAL is kept for a Redis that doesn't take entries; 0: 10 s
}

// Stream is the stream of a database's slot. Services that share a Redis, and
// perhaps never thought of a namespace, seldom share the names of both as well.
func (c *Config) Stream(database, slot string) *Stream {
	s := &Stream{Key: c.Namespace + ":relay:" + database + ":" + slot, maxEntries: c.MaxEntries, maxBytes: c.MaxBytes, patience: c.Patience}
	s.Server = redisServer{c.Client, s.Key}
	if s.maxEntries == 0 {
		s.maxEntries = keptEntries
	}
	if s.maxBytes == 0 {
		s.maxBytes = keptBytes
	}
	if s.patience <= 0 {
		s.patience = patience
	}
	return s
}

// NewClient makes the client of a Config from a URL, of which package
// redisclient knows the forms. It tries nothing twice on its own, save in a
// cluster: what was sent and not answered may have been done, and the relay
// finds that out.
func NewClient(url string) (redis.UniversalClient, error) {
	return redisclient.New(url, redisclient.Limits{Wait: Wait, PoolSize: 4})
}

// Wait is how long one command may take.
const Wait = time.Second

// Bounds of the relay.
const (
	keptEntries    = 100_000
	keptBytes      = 64 << 20
	queuedBytes    = 64 << 20 // that wait for Redis
	patience       = 10 * time.Second
	life           = 24 * time.Hour       // of the stream without a leader
	page           = 512                  // entries read at once
	keyframeEvery  = 128                  // entries
	heartbeatEvery = 10 * time.Second     // a keyframe when nothing else happens
	markPause      = 5 * time.Millisecond // between two entries without a transaction
	entryBytes     = 256 << 10            // an entry takes no further transaction beyond it
	lookBack       = 16 << 10             // an entry up to this size is looked for when the next is written
	bulkyBytes     = 4 << 20              // a larger transaction is relayed as whole tables
)
