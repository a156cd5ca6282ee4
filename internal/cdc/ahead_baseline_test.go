package cdc

import "testing"

// TestBaselineWaitsForItsPosition: an id is of use once the log has been
// applied up to where all below it had ended.
func TestBaselineWaitsForItsPosition(t *testing.T) {
	var b Baseline
	b.Begin(oldest{xmin: 7, lsn: 100})
	if b.xmin(99) != 0 || b.xmin(100) != 7 {
		t.Error("the first is not usable from its position on")
	}
	b.Accept(oldest{xmin: 8, lsn: 200}, 150)
	b.Accept(oldest{xmin: 9, lsn: 300}, 160) // the one before is waiting
	if b.xmin(199) != 7 || b.xmin(250) != 8 || b.xmin(400) != 8 {
		t.Error("the second does not wait, or is lost")
	}
	b.Accept(oldest{xmin: 10, lsn: 400}, 400)
	if b.xmin(400) != 10 {
		t.Error("the third is not usable at once")
	}
	b.Begin(oldest{xmin: 3, lsn: 50})
	if b.xmin(40) != 0 {
		t.Error("another session's is usable")
	}
}
