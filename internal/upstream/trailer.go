package upstream

import (
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"walpurge/internal/http1"
	"walpurge/internal/rfc9111"
)

// SilentLength is the length to announce: of a response without a body what
// the origin announced, if it did.
func SilentLength(resp *http.Response, length int64) int64 {
	if resp.StatusCode == http.StatusNotModified || resp.Request != nil && resp.Request.Method == http.MethodHead {
		n, err := strconv.ParseInt(resp.Header.Get("Content-Length"), 10, 63)
		if err != nil {
			return http1.Unknown
		}
		return n
	}
	return length
}

// AnnounceTrailer announces the trailer fields that the origin announced.
func AnnounceTrailer(head []byte, resp *http.Response) []byte {
	if len(resp.Trailer) == 0 {
		return head
	}
	names := make([]string, 0, len(resp.Trailer))
	for name := range resp.Trailer {
		if allowedTrailer(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return head
	}
	slices.Sort(names)
	return http1.AppendField(head, "Trailer", strings.Join(names, ", "))
}

// TrailerLines are the trailer fields of a response that was read to its end.
func TrailerLines(resp *http.Response) []byte {
	for name := range resp.Trailer { // also of what wasn't announced
		if !allowedTrailer(name) {
			delete(resp.Trailer, name)
		}
	}
	return http1.AppendFields(nil, resp.Trailer)
}

// GiveBody makes the client's body the request's, with its trailer.
func GiveBody(req *http.Request, ex *http1.Exchange) {
	req.ContentLength = ex.Length
	req.Body = &trailing{Body: ex.Body, req: req}
	if ex.Length != http1.Chunked {
		return
	}
	for i := range ex.Fields {
		if ex.Fields[i].ID == http1.Trailer {
			for _, name := range rfc9111.FieldNames(string(ex.Fields[i].Value)) {
				if req.Trailer == nil {
					req.Trailer = make(http.Header)
				}
				if allowedTrailer(name) {
					req.Trailer[name] = nil
				}
			}
		}
	}
}

// trailing is a body that fills in the request's trailer at its end.
type trailing struct {
	*http1.Body
	req *http.Request
}

// Read implements io.Reader.
func (t *trailing) Read(p []byte) (int, error) {
	n, err := t.Body.Read(p)
	if err == io.EOF {
		for _, f := range t.Body.Trailer() {
			name := textproto.CanonicalMIMEHeaderKey(string(f.Name))
			if _, announced := t.req.Trailer[name]; announced {
				t.req.Trailer[name] = append(t.req.Trailer[name], string(f.Value))
			}
		}
	}
	return n, err
}

// allowedTrailer keeps fields that frame, route or authenticate out of
// trailers (RFC 9110 section 6.5.1).
func allowedTrailer(name string) bool {
	if !http1.IsToken([]byte(name)) {
		return false
	}
	switch name {
	case "Transfer-Encoding", "Content-Length", "Trailer", "Host", "Connection", "Authorization", "Cache-Control", "Content-Encoding", "Content-Type", "Content-Range", "Te", "Expect", "Upgrade":
		return false
	}
	return true
}
