package proxycache

import (
	"time"

	"walpurge/internal/http1"
	"walpurge/internal/problem"
	"walpurge/internal/proxycache/outcome"
)

// sentences are what clients read. They name no address and no error of ours.
var sentences = map[outcome.Reason]string{
	outcome.OriginFailed: "The service behind this proxy could not be reached or did not answer properly.",
	outcome.OriginSlow:   "The service behind this proxy did not answer in time.",
	outcome.OriginBusy:   "The service behind this proxy has too much to do; try again in a moment.",
	outcome.OnlyIfCached: "There is no stored response for this request, and it asks for nothing else.",
}

// refuse appends the answer to what isn't a request.
func (p *Proxy) refuse(dst []byte, r *http1.Refusal) []byte {
	p.metrics.refused.WithLabelValues(r.Reason).Inc()
	p.log.Debug("request refused", "status", r.Status, "reason", r.Reason)
	body := problem.Document(r.Status, "The request was refused: "+r.Reason+".")
	dst = problem.AppendHead(dst, r.Status, "walpurge; detail=refused", len(body), time.Now())
	dst = append(dst, "Connection: close\r\n\r\n"...)
	return append(dst, body...)
}
