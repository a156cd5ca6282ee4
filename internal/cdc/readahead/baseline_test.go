package readahead

import "testing"

// TestBaselineWaitsForItsPosition: an id is of use once the log has been
// applied up to where all below it had ended.
func TestBaselineWaitsForItsPosition(t *testing.T) {
	var b Baseline
	b.Begin(Oldest{xmin: 7, lsn: 100})
	if b.Xmin(99) != 0 || b.Xmin(100) != 7 {
		t.Error("the first is not usable from its position on")
	}
	b.Accept(Oldest{xmin: 8, lsn: 200}, 150)
	b.Accept(Oldest{xmin: 9, lsn: 300}, 160) // the one before is waiting
	if b.Xmin(199) != 7 || b.Xmin(250) != 8 || b.Xmin(400) != 8 {
		t.Error("the second does not wait, or is lost")
	}
	b.Accept(Oldest{xmin: 10, lsn: 400}, 400)
	if b.Xmin(400) != 10 {
		t.Error("the third is not usable at once")
	}
	b.Begin(Oldest{xmin: 3, lsn: 50})
	if b.Xmin(40) != 0 {
		t.Error("another session's is usable")
	}
}
