package origin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// entityTag is a strong validator (RFC 9110, section 8.8.3): half of a SHA-256
// over the bytes that are sent.
func entityTag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// respond answers a GET or HEAD with the body, or with 304 when the client
// holds it already (RFC 9110, section 13.1.2).
func respond(w http.ResponseWriter, r *http.Request, contentType string, body []byte) {
	tag := entityTag(body)
	w.Header().Set("ETag", tag)
	if matches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	write(w, http.StatusOK, contentType, body)
}

// matches reports whether an If-None-Match field names the tag, by the weak
// comparison that the field asks for. Our own tags hold no comma, so splitting
// at commas can't make a match out of a tag of someone else's.
func matches(field []string, tag string) bool {
	for _, line := range field {
		for candidate := range strings.SplitSeq(line, ",") {
			candidate = strings.TrimSpace(candidate)
			if candidate == "*" || strings.TrimPrefix(candidate, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// write sends a whole response. To a HEAD request net/http sends the header
// alone, with the same Content-Length.
func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// The client is gone if this fails, and nobody is left to tell.
	_, _ = w.Write(body)
}

func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	return b.Bytes(), nil
}
