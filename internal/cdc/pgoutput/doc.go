// Package pgoutput reads the messages of PostgreSQL's output plugin of that
// name and makes transactions of them, in the order in which they commit. It
// does no I/O and has no clock; what it has to know of the watched tables is
// its [Schema], which whoever reads the database's catalogue fills in. It also
// has the words of our own logical messages, which the same stream brings.
//
// Everything below internal/cdc may know it. It knows no package of that
// tree: rows and positions are those of coherence.
package pgoutput
