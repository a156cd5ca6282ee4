// Package proxycache is the HTTP side of the proxy: it finds the stored
// response for a request, or fetches one from the origin, and stores what may
// be stored. It knows which rows a response depends on only through package
// coherence, and nothing of PostgreSQL.
//
// # The way of a request
//
// [Proxy] is served by package http1. A GET is matched to its route and its
// key is built. A stored response is sent as it lies in the memory tier if
// its dependencies are untouched, its lifetime isn't over and the process has
// proof that it is at most the route's lag behind the primary. Else a flight
// asks the Redis tier and then the origin; others that ask for the same join
// it. What comes back is judged by package rfc9111, sent on while
// it arrives, and kept after its clean end. Everything else is passed through
// unbuffered.
//
// # Rules
//
// R1 to R8 are those of package coherence. This package adds:
//
//	C1 The proof of freshness is read before the handle: a commit that the
//	   proof covers has ended the handle by then.
//	C2 A fill opens its handle before its request is sent (R2) and admits it
//	   before the response enters the memory tier; then it looks at the
//	   handle again (R3).
//	C3 Nobody waits for a response that will not be shared: flights let their
//	   joiners go as soon as the origin's head says so, and after a while in
//	   any case. A fill that has become too old to share is never cut for those
//	   who receive its body.
//	C4 A response is kept only after its clean end.
//	C5 What tells responses apart is in the key, and what is not in the key of
//	   a cached route doesn't reach the origin, save for what every request of
//	   a browser differs in.
//	C6 Whatever of a request can't be read with certainty is no condition (G5:
//	   over-match, never under-match; docs/decisions/0010 has what services read).
package proxycache
