package oracle

import (
	"testing"

	"walpurge/test/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
