package sidecar

import (
	"testing"

	"walpurge/dev/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }
