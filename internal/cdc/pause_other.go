//go:build !linux

package cdc

import "time"

// pause sleeps for d or for what the platform's timers make of it.
func pause(d time.Duration) { time.Sleep(d) }
