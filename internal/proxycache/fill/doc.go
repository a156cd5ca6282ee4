// Package fill is everything that brings responses into the store or ends them
// there: flights to the origin that requests share, copies of responses that were
// passed on, answers to HEAD requests, responses from Redis, and invalidation.
//
// A fill starts from an [Order], which is made of a request and holds nothing of
// its client. Others see a [Flight]; what only its own goroutine touches is
// unexported. The rules R2, R3 and C1 to C4 are cited where they are kept.
package fill
