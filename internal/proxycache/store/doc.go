// Package store is the memory tier: a stored response as bytes that are ready to
// be sent, what of it a client gets (304, ranges, codings), whether it may be
// used, and the index by which the tier finds it. An entry is written while it
// is made and not changed after it was put in. It knows routes and dependencies,
// the guard of package coherence, and HTTP as packages http1 and rfc9111 have
// it; who asks, and how responses come, it doesn't know.
package store
