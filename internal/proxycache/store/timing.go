package store

import (
	"strconv"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/rfc9111"
)

// AppendTiming appends Server-Timing (https://www.w3.org/TR/server-timing/),
// which a page's script can read of its own navigation: how the request was answered, how old
// the response is, and the position in the log that it is at least as new as. e may be nil.
func AppendTiming(dst []byte, cs *rfc9111.CacheStatus, e *Entry, now coherence.Nanos) []byte {
	how := string(cs.Fwd)
	switch {
	case cs.Hit:
		how = "hit"
	case cs.Collapsed:
		how = "collapsed"
	}
	if how == "" {
		how = "other"
	}
	dst = append(append(dst, "Server-Timing: cache;desc="...), how...)
	if e == nil {
		return append(dst, '\r', '\n')
	}
	if cs.Hit || e.Age >= coherence.Nanos(time.Second) {
		dst = append(dst, ", age;dur="...)
		dst = strconv.AppendInt(dst, max(0, int64(e.Age+now-e.Received))/int64(time.Millisecond), 10)
	}
	if e.Guarded {
		// As coherence.LSN prints it, without the memory that this takes.
		at := uint64(e.Handle.Asof())
		dst = append(dst, `, position;desc="`...)
		dst = appendHex(dst, at>>32)
		dst = append(dst, '/')
		dst = append(appendHex(dst, at&0xffffffff), '"')
	}
	return append(dst, '\r', '\n')
}

// appendHex appends v in upper-case hexadecimal digits.
func appendHex(dst []byte, v uint64) []byte {
	from := len(dst)
	dst = strconv.AppendUint(dst, v, 16)
	for i := from; i < len(dst); i++ {
		if dst[i] >= 'a' {
			dst[i] -= 'a' - 'A'
		}
	}
	return dst
}
