// Package relay is the stream of entries in Redis through which the process
// that holds the replication slot, the leader, tells the others what it has
// received. It knows Redis and nothing of PostgreSQL; package cdc leads and
// follows with it. docs/decisions/0003-relay.md says why that is safe.
//
// # The protocol
//
// A [Stream] is one key. Its entries have consecutive numbers, which Redis
// refuses to take twice: whoever finds the next number taken, and not by the
// entry that it has written itself, has been replaced as the leader
// ([ErrFenced]). Each [Entry] has the checksum of the one before it, the
// leader's epoch, and the positions that it covers: every watched transaction
// after From and up to Applied is in it, and everything up to Watermark is
// visible (R4). An entry without transactions says that the log went on.
//
// Every so often an entry is a keyframe: it has the leader's [Announcement].
// Who starts, or has missed something, begins to read at a keyframe, and
// the stream is cut at one. A [Mapping] translates the tables and columns of a
// leader that was configured otherwise into one's own; what the leader doesn't
// watch is unknown, which matches everything (G5).
//
// A [Writer] writes one term, from taking the slot to losing it. It batches
// what comes in while an entry is on its way, tells what may be acknowledged
// to the primary (R5), and writes an entry that Redis has not confirmed again
// before any other. It ends with a [BrokenError] when others can't continue
// the history: Redis has lost an entry, or took none for too long (R8).
//
// Followers speak to the leader by two keys beside the stream. One says that
// strict reads wait, so that positions are told at once. The other asks it to
// look at the server, when a follower was led to what looks like an older copy;
// the answer is in an entry.
//
// The encoding has a version. An entry of another version is not understood,
// and what is not understood is a gap.
package relay
