package fill

import (
	"bytes"
	"net/http"
	"strings"

	"walpurge/internal/http1"
)

// isStream tells whether a response is a stream of events, which has no end in
// sight: it is passed on from its head on, and nobody waits for it. length is
// its body's, negative if it isn't known: lines of JSON that are announced as a
// whole are a page like any other.
func isStream(h http.Header, length int64) bool {
	for _, v := range h["Content-Type"] {
		if streamType(strings.ToLower(mediaType(v)), length) {
			return true
		}
	}
	return false
}

func mediaType(v string) string {
	v, _, _ = strings.Cut(v, ";")
	return strings.TrimSpace(v)
}

// streamType is told a media type in lower-case letters.
func streamType(name string, length int64) bool {
	switch name {
	case "text/event-stream", "multipart/x-mixed-replace", "application/grpc", "application/grpc-web", "application/grpc-web-text":
		return true
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl", "application/jsonlines", "application/x-jsonlines",
		"application/json-seq", "application/stream+json", "application/x-json-stream":
		return length < 0
	}
	for _, prefix := range []string{"application/grpc+", "application/grpc-web+", "application/grpc-web-text+", "application/connect+"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return length < 0 && strings.HasSuffix(name, "+json-seq")
}

// WantsStream tells whether a request takes nothing but a stream of events, as
// browsers' EventSource does. The origin may keep the response's head until
// there is an event.
func WantsStream(req *http1.Request) bool {
	found := false
	for i := range req.Fields {
		if !http1.EqualFold(req.Fields[i].Name, "accept") {
			continue
		}
		for item := range bytes.SplitSeq(req.Fields[i].Value, []byte{','}) {
			switch strings.ToLower(mediaType(string(item))) {
			case "text/event-stream", "multipart/x-mixed-replace":
				found = true
			case "":
			default:
				return false
			}
		}
	}
	return found
}
