// Package cdc turns what PostgreSQL's write-ahead log says into transactions
// and hands them to a [coherence.Guard].
//
// # Parts
//
// [catalogue.Inspect] says what the database has, [catalogue.Setup] makes what
// is missing. A [Listener] then runs one session after the other: an opening
// finds the server, publication and slot and starts the stream; after it four
// goroutines with a connection each work side by side:
//
//	receiver  the replication connection: decodes, applies, acknowledges (R1, R5)
//	settler   asks for snapshots until nothing is pending (R4)
//	prober    asks for the flush position: the proof of freshness (R6)
//	watcher   looks for changes of the catalogue and after the slot, every second
//
// and while the stream is behind, package readahead reads the log ahead of it,
// physically and by whole tables (docs/decisions/0009-read-ahead.md).
//
// Every transaction of a session goes through progress.Deliver, all of them
// through shared.apply, and every acknowledgement comes from progress.acknowledge.
// What outlives a session is in shared, what it continues in history.
//
// # Leading and following
//
// With a relay (package relay), several processes share one slot. The one that
// holds it leads: in its sessions another goroutine, a [relay.Writer], appends
// what it receives to a Redis stream. A follower reads the stream and applies it while
// another process leads, and before the own one does; it asks the primary
// itself for its proof of freshness. Leader or not, a process begins by
// loading the stream, looks whether the slot is free, and in Listener.session
// asks for it. docs/decisions/0003-relay.md says why that is safe.
//
// # How an epoch starts
//
// A session that can't continue the history of the one before starts a new
// epoch (R8), in this order:
//
//  1. The catalogue is read and found good.
//  2. The horizon passes: every transaction that was open at that time ends.
//     One that was open when a table came into the publication may never be
//     published for it, and a commit older than a new slot is not decoded but
//     may still be invisible, for instance while it waits for a standby.
//  3. The stream starts where the slot stands. All that was applied and not yet
//     visible lies after that (R5) and is sent again.
//  4. With a relay, the epoch's first entry is written, which fences whoever led
//     before.
//  5. The guard is reset to that position. Nothing that was cached before
//     counts, and a new fill reads all that the stream left out.
package cdc
