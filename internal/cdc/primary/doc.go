// Package primary has the connections to the database server: for queries, for
// the replication stream, and a [Conn] beside the stream that makes sure each
// time which server answers. It knows who answers ([Server]), how the frames of
// the stream look, how its packets are gathered ([Pace]), and whom a session of
// the server waits for ([Waited]).
//
// Everything below internal/cdc may know it; it knows none of it. It decides
// nothing: that a server is another one, or behind, is an error for its callers.
package primary
