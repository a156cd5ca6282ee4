package coherence

// fences is a fixed table of the last commit that touched a tag, by the tag's
// hash. Every tag has two slots and the smaller of them counts, so two tags
// must share both before one is fenced for the other. A collision costs a
// refill, never a stale response.
type fences struct {
	slots []LSN
	mask  uint64
}

// newFences makes a table of 2^bits slots of 8 bytes.
func newFences(bits int) fences {
	return fences{slots: make([]LSN, 1<<bits), mask: 1<<bits - 1}
}

func (f *fences) places(s *shape, sum uint64) (a, b uint64) {
	h := mix(sum ^ s.id*0x9e3779b97f4a7c15)
	return h & f.mask, h >> 32 & f.mask
}

// raise sets the fence of a tag to at least end (R1).
func (f *fences) raise(s *shape, sum uint64, end LSN) {
	a, b := f.places(s, sum)
	f.slots[a] = max(f.slots[a], end)
	f.slots[b] = max(f.slots[b], end)
}

// of is the fence of a tag: at least the end of the last commit that touched it.
func (f *fences) of(s *shape, sum uint64) LSN {
	a, b := f.places(s, sum)
	return min(f.slots[a], f.slots[b])
}

func (f *fences) clear() { clear(f.slots) }
