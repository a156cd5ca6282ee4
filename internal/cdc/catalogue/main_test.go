package catalogue

import (
	"testing"

	"walpurge/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }
