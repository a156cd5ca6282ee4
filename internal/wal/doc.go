// Package wal reads PostgreSQL's write-ahead log as it lies on disk, as far as
// it takes to tell which tables a committed transaction has written to.
//
// A [Scanner] turns bytes into records. It checks what can be checked: the
// magic number and the address of every page, the length, the checksum and the
// back link of every record. A [Digest] turns records into commits: it remembers
// for each open transaction the files whose heap it has written to, and the
// logical messages in it, and tells them at its commit.
//
// # Why that is as much as logical decoding sees
//
// Logical decoding makes rows of Heap and Heap2 records of five kinds (insert,
// update, HOT update, delete, multi-insert), of truncations and of logical
// messages, in the transaction whose id the record has, and of nothing else.
// So the files in a [Commit] contain each table of which rows are decoded. They
// may contain more: the old row's table of a speculative insert that was taken
// back, or a catalogue. Since PostgreSQL 15 an extension can log records of its
// own kind and decode them: a transaction with such a record may have written to any table.
//
// # What isn't understood
//
// It fails closed: whatever doesn't look as expected is an error, and no
// record after it is told. The layout is that of PostgreSQL 14 to 18; see
// src/include/access/xlogrecord.h, xlog_internal.h, xact.h and heapam_xlog.h of
// its sources. Numbers are little-endian, since a server on another machine
// would show another magic number.
//
// The package has no I/O and no goroutine.
package wal
