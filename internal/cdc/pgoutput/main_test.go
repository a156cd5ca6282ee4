package pgoutput

import (
	"testing"

	"walpurge/dev/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }
