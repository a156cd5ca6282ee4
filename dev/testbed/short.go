package testbed

import (
	"os"
	"testing"
)

// shortVariable names a variable that asks for short tests as -short does. make
// test sets it: -short itself would also leave a few of the cases that rapid
// tries, and those take next to no time.
const shortVariable = "WALPURGE_SHORT"

// Short tells whether tests that can go on for as long as they are given shall
// be short: an oracle ten seconds at most.
func Short() bool { return testing.Short() || os.Getenv(shortVariable) != "" }
