package relay

import "slices"

// Terms are those of leaders that were seen. The zero value is of none.
type Terms struct {
	nonces []uint64 // the latest last
}

// maxTerms bounds the terms that are remembered.
const maxTerms = 256

// New notes the term of a leader and tells whether it is new. Sequence numbers
// alone don't say so: Redis may have gone back to an old copy, and then they are
// given a second time.
func (t *Terms) New(nonce uint64) bool {
	if n := len(t.nonces); n > 0 && t.nonces[n-1] == nonce || slices.Contains(t.nonces, nonce) {
		return false
	}
	if len(t.nonces) == maxTerms {
		t.nonces = slices.Delete(t.nonces, 0, maxTerms/2)
	}
	t.nonces = append(t.nonces, nonce)
	return true
}
