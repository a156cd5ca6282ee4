// Package problem makes problem documents (RFC 9457): what clients and
// administrators get in the place of a response. It knows package http1.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"walpurge/internal/http1"
)

// AppendHead appends the head of an answer with a problem document of that
// length, without the empty line. It is not to be stored.
func AppendHead(dst []byte, status int, cacheStatus string, length int, now time.Time) []byte {
	dst = http1.AppendStatus(dst, status)
	dst = http1.AppendField(dst, "Content-Type", "application/problem+json")
	dst = http1.AppendField(dst, "Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		dst = http1.AppendField(dst, "Retry-After", "1")
	}
	dst = append(dst, "Date: "...)
	dst = now.UTC().AppendFormat(dst, http.TimeFormat)
	dst = append(dst, "\r\n"...)
	dst = http1.AppendField(dst, "Cache-Status", cacheStatus)
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(length), 10)
	return append(dst, "\r\n"...)
}

// Document is a problem document: a title and one sentence.
func Document(status int, detail string) []byte {
	b, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", http.StatusText(status), status, detail})
	if err != nil {
		return nil // strings and a number always marshal
	}
	return append(b, '\n')
}
