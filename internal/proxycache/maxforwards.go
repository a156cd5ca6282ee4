package proxycache

import (
	"net/http"
	"strconv"
	"time"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/rfc9111"
)

// maxForwards is how many servers behind this one a TRACE or OPTIONS request
// may still reach (RFC 9110 section 7.6.2); ok is false where it doesn't say.
func (x *exchange) maxForwards() (n int64, ok bool) {
	if method := string(x.Method); method != "OPTIONS" && method != "TRACE" {
		return 0, false
	}
	values := x.Values("max-forwards")
	if len(values) != 1 {
		return 0, false
	}
	return rfc9111.Number(values[0])
}

// endsHere tells whether the request may go no further.
func (x *exchange) endsHere() bool {
	n, ok := x.maxForwards()
	return ok && n == 0
}

// answerHere answers a request that may go no further: OPTIONS with nothing
// to say of the resource, TRACE with what came, without what is secret (RFC
// 9110 section 9.3.8).
func (x *exchange) answerHere() verdict {
	status, kind := http.StatusOK, ""
	var body []byte
	if string(x.Method) == "TRACE" {
		kind = "message/http"
		body = append(append(append(append(body, x.Method...), ' '), x.Target...), " HTTP/1.1\r\n"...)
		for i := range x.Fields {
			switch f := &x.Fields[i]; f.ID {
			case http1.Authorization, http1.ProxyAuthorization, http1.Cookie, http1.WalpurgePosition:
			default:
				body = append(append(append(append(body, f.Name...), ": "...), f.Value...), http1.CRLF...)
			}
		}
		body = append(body, http1.CRLF...)
	}
	head := http1.AppendStatus(x.Buffer(), status)
	if kind != "" {
		head = http1.AppendField(head, "Content-Type", kind)
	}
	head = http1.AppendField(head, "Date", time.Now().UTC().Format(http.TimeFormat))
	head = http1.AppendField(head, "Content-Length", strconv.Itoa(len(body)))
	cs := rfc9111.CacheStatus{Detail: outcome.MaxForwards}
	_ = x.Send(cs.Append(head), body)
	x.done(outcome.Pass, outcome.MaxForwards)
	return verdict{}
}

// countDown makes a request say how far it may go from the origin on.
func (x *exchange) countDown(h http.Header) {
	if n, ok := x.maxForwards(); ok {
		h["Max-Forwards"] = []string{strconv.FormatInt(n-1, 10)}
	}
}
