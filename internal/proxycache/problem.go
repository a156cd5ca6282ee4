package proxycache

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"walpurge/internal/http1"
)

// appendProblem appends a whole answer with a problem document (RFC 9457) but
// for the empty line's predecessor, Connection; end is the empty line or not.
func problemHead(dst []byte, status int, cacheStatus string, length int, now time.Time) []byte {
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

// problemBody is a problem document: a title and one sentence.
func problemBody(status int, detail string) []byte {
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

// sentences are what clients read. They name no address and no error of ours.
var sentences = map[Reason]string{
	OriginFailed: "The service behind this proxy could not be reached or did not answer properly.",
	OriginSlow:   "The service behind this proxy did not answer in time.",
	OriginBusy:   "The service behind this proxy has too much to do; try again in a moment.",
	OnlyIfCached: "There is no stored response for this request, and it asks for nothing else.",
}

// refuse appends the answer to what isn't a request.
func (p *Proxy) refuse(dst []byte, r *http1.Refusal) []byte {
	p.metrics.refused.WithLabelValues(r.Reason).Inc()
	p.log.Debug("request refused", "status", r.Status, "reason", r.Reason)
	body := problemBody(r.Status, "The request was refused: "+r.Reason+".")
	dst = problemHead(dst, r.Status, "walpurge; detail=refused", len(body), time.Now())
	dst = append(dst, "Connection: close\r\n\r\n"...)
	return append(dst, body...)
}
