// Package http1 is the client side of the proxy: an HTTP/1.1 server (RFC 9112)
// that hands requests over as they came and sends responses as they are.
//
// A cache needs from its server what general ones keep to themselves: stored
// header lines sent as bytes, the origin's Date kept, every piece of a passed
// response on its way before the next is read, the request target unchanged,
// and a strict eye on framing. Framing is where two parties that read a
// request differently can be played against each other, so whatever RFC 9112
// allows a server to refuse is refused: bare LF, obs-fold, white space before
// a colon, more than one Content-Length, Content-Length beside
// Transfer-Encoding, transfer codings other than chunked.
//
// One goroutine serves a connection. A [Handler] gets an [Exchange], valid
// until it returns. A response is sent with Send when it is whole and in
// memory, or with Start, Write and Finish.
//
// # Rules
//
//	H1 A connection on which the end of a request is in any doubt is closed
//	   after the answer.
//	H2 A response whose end the client couldn't tell from a complete one is
//	   broken off by closing the connection, never by ending it.
//	H3 Nothing of the connection's buffers is used after the handler returned.
package http1
