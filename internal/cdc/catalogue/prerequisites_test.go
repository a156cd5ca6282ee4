package catalogue

import (
	"strings"
	"testing"
	"time"
)

// TestNewerServerIsWarnedOf: what this proxy can't do there is said at start.
func TestNewerServerIsWarnedOf(t *testing.T) {
	for version, want := range map[int]bool{140023: false, 180004: false, 190000: true} {
		ins := &Inspection{cfg: &Scope{ReadAhead: 100 * time.Millisecond, Temporary: true}, Catalogue: &Catalogue{}}
		ins.server.version, ins.server.versionText = version, "19beta1"
		ins.checkServer()
		got := strings.Contains(strings.Join(ins.Catalogue.Warnings, "\n"), "PostgreSQL 19beta1 is newer than what this proxy was tried with")
		if got != want {
			t.Errorf("%d: %q", version, ins.Catalogue.Warnings)
		}
		ins.cfg.ReadAhead, ins.Catalogue.Warnings = 0, nil
		if ins.checkServer(); len(ins.Catalogue.Warnings) > 0 {
			t.Errorf("%d, without reading ahead: %q", version, ins.Catalogue.Warnings)
		}
	}
}
