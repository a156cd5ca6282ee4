// Package querycache keeps the results of named queries in Redis for a service
// that reads PostgreSQL, and uses one only while it is as new as the database.
//
// A [Query] says what it is called, what it depends on, and how it is loaded.
// [Attach] makes a function of it that asks the cache first. The guard that
// judges is the proxy's (package coherence, whose rules R1 to R8 are cited
// here), and follows the same log.
//
// # What a result goes through
//
// A load opens a handle, which fixes asof before the database is asked (R2),
// and is admitted afterwards. The result goes to Redis with epoch and asof.
// Nobody removes it there: a commit that touches what it depends on raises a
// fence above its asof, and from then on [coherence.Guard.Current] refuses
// it (R3). Every reading goes through that, so a result that is written late,
// or by a process that knows less, does no harm.
//
// The order of a reading matters. The proof of freshness and the applied
// position are read first, then the fences are asked. A commit that the first
// two cover was fenced before they rose.
//
// What a query joins may be known from its result alone: which agents a list of
// listings shows. Such rows ([Query].Shows) are asked for like the rest, with the
// values that stand in the result, stored or just loaded. They were not in the
// index while the load was on its way, so their fences decide, and who has joined
// a load whose rows have changed meanwhile loads for itself (R7).
//
// # Under a proxy
//
// A proxy says with each request how new the answer has to be: [coherence.NeedsField]. A
// result is used only if the guard is in the epoch named there and has applied
// at least that position. Then it is as new as what the database would have
// shown the proxy up to there:
//
//  1. The proxy's fill has the asof W, and needs A, its applied position read
//     after W was fixed: A ≥ W.
//  2. The guard here has applied all up to A' ≥ A. Whatever of that touches
//     the result has raised a fence to its commit's end.
//  3. The result has the asof a: it shows everything up to a. No fence of its
//     dependencies is above a, so nothing between a and A' touches it. It is
//     what the database showed at A' as far as it goes.
//  4. So the response holds everything up to A. What comes later touches the
//     fill's own dependencies in the proxy, as it does without this cache.
//
// A is the applied position and not W because a response is given to readers
// whom the proxy has promised more than W: all that is proven fresh, and all
// up to the positions that they carry. Both are at most A.
//
// The field only ever asks for more: the proof of freshness (R6) is wanted with
// it and without it. So nobody who sends one gets older data than who doesn't.
package querycache
