package proxycache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/rfc9111"
)

// maxQuery is the longest content that is part of a key; a longer one is
// passed through.
const maxQuery = 64 << 10

// readContent reads the content of a QUERY, which is a part of its key.
func (x *exchange) readContent() verdict {
	content, err := io.ReadAll(io.LimitReader(x.Body, maxQuery+1))
	if err != nil {
		return x.cutOff()
	}
	if x.content = content; len(content) > maxQuery {
		return passed(rfc9111.FwdMethod, outcome.RequestBody)
	}
	sum := sha256.New()
	for _, name := range []string{"content-type", "content-encoding", "content-language"} {
		for _, v := range x.Values(name) {
			_, _ = sum.Write(append(v, '\n'))
		}
		_, _ = sum.Write([]byte{0})
	}
	_, _ = sum.Write(content)
	x.base = x.key
	x.key += "\nquery " + hex.EncodeToString(sum.Sum(nil))
	return verdict{way: toLookUp}
}

// body is the content for a request to the origin, and its length. What is
// left of a longer one follows.
func (x *exchange) body() (io.ReadCloser, int64) {
	if len(x.content) <= maxQuery {
		return io.NopCloser(bytes.NewReader(x.content)), int64(len(x.content))
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(x.content), x.Body), x.Body}, x.Length
}
