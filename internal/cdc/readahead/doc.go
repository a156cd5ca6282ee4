// Package readahead reads the log ahead of the replication stream while that
// is behind: physically, as it lies on disk, and by whole tables. What it finds
// goes to a [Sink], where the stream arrives too, and whichever is first counts.
// docs/decisions/0009-read-ahead.md says why that misses nothing.
//
// It knows the log's layout (wal), connections (primary) and which table a file
// belongs to (catalogue). When to read ahead it decides itself, by what the
// prober tells it.
package readahead
