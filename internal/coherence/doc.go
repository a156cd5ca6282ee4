// Package coherence decides which cached responses may still be served after
// rows have changed. It knows transactions, changes, positions and
// dependencies; it does no I/O and has no clock.
//
// # Words
//
// A [Transaction] is what one commit did to the watched tables. A
// [Dependency] is what a response was computed from: a table, narrowed by
// equality and range conditions. A [Handle] ties one response, stored or still
// on its way, to its dependencies. The [Guard] brings the two together.
//
// # Rules
//
// The code cites these where it keeps them.
//
//	R1 Applying a transaction sets the fence of every tag it touches to the
//	   end of its commit record, never to its start.
//	R2 asof is the watermark, read before the request goes to the origin. The
//	   watermark W is the applied position if nothing is pending, else the
//	   smallest commit start among the pending.
//	R3 A response is usable if its epoch is the guard's, its asof is at or
//	   above the floor, and no fence of its dependencies is above its asof.
//	   The check and the insert into the index are one critical section.
//	R4 A transaction stays pending until a snapshot of the primary shows it.
//	R5 The slot is acknowledged at most up to W.
//	R6 Freshness is a position: the primary's flush position, asked for at t0,
//	   proves t0 once everything up to it has been applied, if the catalogue at t0
//	   is the one that the guard goes by: what it says of a table changes what is
//	   read without an event in the log.
//	R7 A reader never joins a flight that is older than what it needs.
//	R8 Any doubt starts a new epoch.
//
// # Why the applied position proves freshness, and W does not have to
//
// A cached response that survived every transaction applied so far is as new
// as the applied position: each commit that ends at or before it and touches
// the response has evicted it already. Whether such a commit is visible yet
// matters only for what a new fill may read (R2), so a commit that hangs, for
// instance while it waits for a synchronous standby, stops the caching of
// what it touched and nothing else.
package coherence
