package rig

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// TestCheckersFindAStaleRead: the checkers can say no.
func TestCheckersFindAStaleRead(t *testing.T) {
	const writer, reader = 0, 1
	write := porcupine.Operation{ClientId: writer, Input: RegisterInput{1, 1, true}, Call: 0, Return: 10}
	covers := porcupine.Operation{ClientId: reader, Input: floorInput{reader, 1, true}, Call: 0, Output: 2, Return: 10}
	for name, each := range map[string]struct {
		model porcupine.Model
		ops   []porcupine.Operation
		want  porcupine.CheckResult
	}{
		"a strict read of the old value after the write":  {Registers(0), []porcupine.Operation{write, {ClientId: reader, Input: RegisterInput{Listing: 1}, Call: 20, Output: 0, Return: 30}}, porcupine.Illegal},
		"a strict read of the old value during the write": {Registers(0), []porcupine.Operation{write, {ClientId: reader, Input: RegisterInput{Listing: 1}, Call: 5, Output: 0, Return: 30}}, porcupine.Ok},
		"a read below the position carried":               {floors(), []porcupine.Operation{covers, {ClientId: reader, Input: floorInput{reader, 1, false}, Call: 20, Output: 1, Return: 30}}, porcupine.Illegal},
		"a read above the position carried":               {floors(), []porcupine.Operation{covers, {ClientId: reader, Input: floorInput{reader, 1, false}, Call: 20, Output: 3, Return: 30}}, porcupine.Ok},
		"a read of who carries nothing":                   {floors(), []porcupine.Operation{covers, {ClientId: writer, Input: floorInput{writer, 1, false}, Call: 20, Output: 1, Return: 30}}, porcupine.Ok},
	} {
		if result := porcupine.CheckOperationsTimeout(each.model, each.ops, time.Minute); result != each.want {
			t.Errorf("%s: %s, want %s", name, result, each.want)
		}
	}
}

// TestLostWrite: a write whose outcome nobody knows may show or not, but what
// has shown it stays.
func TestLostWrite(t *testing.T) {
	h := History{Began: time.Now()}
	h.lost(0, RegisterInput{1, 1, true}, 0)
	read := func(call int64, version int) {
		h.append(porcupine.Operation{ClientId: 1, Input: RegisterInput{Listing: 1}, Call: call, Output: version, Return: call + 5})
	}
	for i, version := range []int{0, 0, 1, 1} {
		read(int64(10*(i+1)), version)
		if result := porcupine.CheckOperationsTimeout(Registers(0), h.Ops, time.Minute); result != porcupine.Ok {
			t.Errorf("after v%d: %s", version, result)
		}
	}
	read(100, 0)
	if result := porcupine.CheckOperationsTimeout(Registers(0), h.Ops, time.Minute); result != porcupine.Illegal {
		t.Errorf("the old version after the new one: %s", result)
	}
}
