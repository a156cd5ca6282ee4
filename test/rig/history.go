package rig

import (
	"math"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// RegisterInput is an operation on one listing's title: a read, or a write of
// version.
type RegisterInput struct {
	Listing, Version int
	Write            bool
}

// Registers is the sequential specification: each listing holds the version
// that was written last, and first the one given.
func Registers(first int) porcupine.Model {
	return porcupine.Model{
		Partition: partition(func(op porcupine.Operation) int { return op.Input.(RegisterInput).Listing }),
		Init:      func() any { return first },
		Step: func(state, input, output any) (bool, any) {
			in := input.(RegisterInput)
			if in.Write {
				return true, in.Version
			}
			return output.(int) == state.(int), state
		},
	}
}

// partition splits a history into those of independent things.
func partition[K comparable](thing func(porcupine.Operation) K) func([]porcupine.Operation) [][]porcupine.Operation {
	return func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		byThing := map[K][]porcupine.Operation{}
		for _, op := range history {
			k := thing(op)
			byThing[k] = append(byThing[k], op)
		}
		for _, p := range byThing {
			parts = append(parts, p)
		}
		return parts
	}
}

// floorInput is an operation of one client on one listing: a read, or the
// moment from which the positions that the client carries cover a version. The
// version is the operation's output.
type floorInput struct {
	client, listing int
	covers          bool
}

// floors is the specification of reading one's writes (G3), for each client
// and listing by itself: a read shows the version that is covered by then, or
// a later one. A client's own write is covered once it has the position that
// came with the response, another's once its commit is known to end at or
// before the position. Nothing orders two reads: what one shows beyond the
// floor the next need not.
func floors() porcupine.Model {
	return porcupine.Model{
		Partition: partition(func(op porcupine.Operation) [2]int {
			in := op.Input.(floorInput)
			return [2]int{in.client, in.listing}
		}),
		Init: func() any { return 0 },
		Step: func(state, input, output any) (bool, any) {
			floor, version := state.(int), output.(int)
			if input.(floorInput).covers {
				return true, max(floor, version)
			}
			return version >= floor, floor
		},
	}
}

// History is what clients did, with the times of their calls.
type History struct {
	Began time.Time
	mu    sync.Mutex
	Ops   []porcupine.Operation
}

// Now is the time since Began, in nanoseconds.
func (h *History) Now() int64 { return int64(time.Since(h.Began)) }

// Add notes an operation that has returned now. out is the version read.
func (h *History) Add(client int, in any, called int64, out int) {
	h.append(porcupine.Operation{ClientId: client, Input: in, Call: called, Output: out, Return: h.Now()})
}

// lost adds an operation that may take effect at any time from its call on, or
// never.
func (h *History) lost(client int, in any, called int64) {
	h.append(porcupine.Operation{ClientId: client, Input: in, Call: called, Output: 0, Return: math.MaxInt64})
}

func (h *History) append(op porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Ops = append(h.Ops, op)
}
