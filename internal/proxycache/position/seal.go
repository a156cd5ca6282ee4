package position

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"sync"
)

// Seal signs positions, so that clients can't make up their own. A nil seal
// neither signs nor asks for a signature.
type Seal struct{ macs sync.Pool }

// sealed is what a MAC is computed with.
type sealed struct {
	mac hash.Hash
	sum [sha256.Size]byte
	got [sealBytes + 2]byte // base64 decodes in threes
}

// sealBytes is what is kept of the MAC: half, which RFC 2104 section 5 names
// as the least.
const sealBytes = sha256.Size / 2

// sealPurpose keeps the MAC from being of use for anything else that the same
// secret may sign.
var sealPurpose = []byte("walpurge position\x00")

var sealText = base64.RawURLEncoding.Strict()

// NewSeal makes a seal; without a secret, none.
func NewSeal(secret string) *Seal {
	if secret == "" {
		return nil
	}
	s := &Seal{}
	s.macs.New = func() any { return &sealed{mac: hmac.New(sha256.New, []byte(secret))} }
	return s
}

// compute leaves the MAC of text in w.sum.
func (w *sealed) compute(text []byte) {
	w.mac.Reset()
	_, _ = w.mac.Write(sealPurpose)
	_, _ = w.mac.Write(text)
	w.mac.Sum(w.sum[:0])
}

// Sign returns text with its signature: TEXT.SIGNATURE.
func (s *Seal) Sign(text string) string {
	if s == nil {
		return text
	}
	w := s.macs.Get().(*sealed) //nolint:forcetypeassert // its New makes nothing else
	defer s.macs.Put(w)
	w.compute([]byte(text))
	return text + "." + sealText.EncodeToString(w.sum[:sealBytes])
}

// Open returns what was signed. It takes the same time whatever is wrong with
// a signature of the right length, and allocates nothing.
func (s *Seal) Open(text []byte) ([]byte, bool) {
	if s == nil {
		return text, true
	}
	i := bytes.LastIndexByte(text, '.')
	if i < 0 || len(text)-i-1 != sealText.EncodedLen(sealBytes) {
		return nil, false
	}
	w := s.macs.Get().(*sealed) //nolint:forcetypeassert // its New makes nothing else
	defer s.macs.Put(w)
	n, err := sealText.Decode(w.got[:], text[i+1:])
	if err != nil || n != sealBytes {
		return nil, false
	}
	w.compute(text[:i])
	return text[:i], hmac.Equal(w.got[:n], w.sum[:sealBytes])
}
