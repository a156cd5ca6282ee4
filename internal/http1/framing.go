package http1

import "bytes"

// frame decides where the body ends (RFC 9112 section 6.3), whether the
// connection stays open and which host is meant.
func (r *Request) frame() *Refusal {
	if host := r.Get(Host); r.present&(1<<Host) != 0 {
		if !validHost(host) {
			return errHost
		}
		if r.Host == nil {
			r.Host = host
		}
	} else if r.Minor > 0 {
		return errHost
	}
	if r.present&Of(Connection, ContentLength, TransferEncoding, Expect) == 0 {
		r.close = r.Minor == 0
		return nil
	}
	if te := r.Get(TransferEncoding); r.present&(1<<TransferEncoding) != 0 {
		switch {
		case r.present&(1<<ContentLength) != 0:
			return errBothLengths
		case r.Minor == 0:
			return errCoding
		case EqualFold(te, "chunked"):
			r.Length = Chunked
		case IsToken(te) && !EqualFold(te, "identity"):
			return errCodingUnknown
		default:
			return errCoding
		}
	}
	if cl := r.Get(ContentLength); r.present&(1<<ContentLength) != 0 {
		n, ok := digits(cl)
		if !ok {
			return errLength
		}
		r.Length = n
	}
	r.connection()
	if r.present&(1<<Expect) != 0 && r.Minor > 0 {
		for i := range r.Fields {
			if r.Fields[i].ID == Expect && !EqualFold(r.Fields[i].Value, "100-continue") {
				return errExpectation
			}
		}
		r.expect = r.Length != 0
	}
	return nil
}

func (r *Request) connection() {
	keepAlive := false
	for i := range r.Fields {
		if r.Fields[i].ID != Connection {
			continue
		}
		for option := range bytes.SplitSeq(r.Fields[i].Value, []byte{','}) {
			option = trim(option)
			switch {
			case EqualFold(option, "close"):
				r.close = true
			case EqualFold(option, "keep-alive"):
				keepAlive = true
			}
		}
	}
	if r.Minor == 0 && !keepAlive {
		r.close = true
	}
}

// digits reads a Content-Length: digits and nothing else, below 2^62.
func digits(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
