package cdc

import (
	"time"

	"golang.org/x/sys/unix"
)

// pause sleeps for less than a millisecond, which time.Sleep rounds up to one.
func pause(d time.Duration) {
	ts := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&ts, nil) // an interruption only shortens it
}
