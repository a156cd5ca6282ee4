package http1

import "bytes"

// Request is the head of a request. Its bytes are the connection's and are
// valid until the handler returns (H3).
type Request struct {
	Method []byte // a token, case-sensitive
	Target []byte // as sent: origin form, absolute form, authority form or *
	Host   []byte // of the absolute form, else of the Host field; empty only in HTTP/1.0
	Minor  int    // of HTTP/1.x: 0 or 1
	Fields []Field
	Length int64 // of the body; Chunked when its end is marked in it, 0 when there is none

	present Set
	close   bool // the client wants the connection closed, or H1 does
	expect  bool // Expect: 100-continue
}

// Chunked stands for the length of a body that ends with its last chunk.
const Chunked = -1

// Has tells whether any field of s is present.
func (r *Request) Has(s Set) bool { return r.present&s != 0 }

// Get returns the first value of a known field, nil if there is none.
func (r *Request) Get(id ID) []byte {
	if r.present&(1<<id) == 0 {
		return nil
	}
	for i := range r.Fields {
		if r.Fields[i].ID == id {
			return r.Fields[i].Value
		}
	}
	return nil
}

// HasField tells whether there is a field with that name, given in lower case.
func (r *Request) HasField(lower string) bool {
	for i := range r.Fields {
		if EqualFold(r.Fields[i].Name, lower) {
			return true
		}
	}
	return false
}

// Values returns every value of the field with the name in lower case.
func (r *Request) Values(lower string) [][]byte {
	var all [][]byte
	for i := range r.Fields {
		if EqualFold(r.Fields[i].Name, lower) {
			all = append(all, r.Fields[i].Value)
		}
	}
	return all
}

// Refusal is why a request isn't served: the status of the answer and a
// reason that is fit for a log and a metric.
type Refusal struct {
	Status int
	Reason string
}

// Error makes a Refusal an error.
func (r *Refusal) Error() string { return r.Reason }

var (
	errBareLF        = &Refusal{400, "bare LF"}
	errRequestLine   = &Refusal{400, "request line"}
	errMethod        = &Refusal{400, "method"}
	errTarget        = &Refusal{400, "target"}
	errVersion       = &Refusal{505, "version"}
	errFieldName     = &Refusal{400, "field name"}
	errFieldValue    = &Refusal{400, "field value"}
	errFold          = &Refusal{400, "folded field"}
	errHost          = &Refusal{400, "host"}
	errLength        = &Refusal{400, "content-length"}
	errBothLengths   = &Refusal{400, "content-length and transfer-encoding"}
	errCoding        = &Refusal{400, "transfer-encoding"}
	errCodingUnknown = &Refusal{501, "transfer-encoding"}
	errExpectation   = &Refusal{417, "expectation"}
	errTooLarge      = &Refusal{431, "header too large"}
	errTargetLong    = &Refusal{414, "target too long"}
	errSlow          = &Refusal{408, "timeout"}
)

// maxFields bounds the lines of one head, whatever its bytes.
const maxFields = 256

// headScan finds the end of a head in a buffer that grows.
type headScan struct {
	at    int // all before is scanned; a line starts here or earlier
	line  int // where the current line starts
	begun bool
}

// find returns the length of the head with its last CRLF, 0 when it isn't
// whole yet. skip is how many bytes of empty lines precede it (RFC 9112
// section 2.2).
func (s *headScan) find(b []byte) (n, skip int, err *Refusal) {
	for {
		i := bytes.IndexByte(b[s.at:], '\n')
		if i < 0 {
			s.at = len(b)
			return 0, 0, nil
		}
		i += s.at
		if i == 0 || b[i-1] != '\r' {
			return 0, 0, errBareLF
		}
		empty := i-1 == s.line
		s.at, s.line = i+1, i+1
		switch {
		case !empty:
			s.begun = true
		case s.begun:
			return i + 1, 0, nil
		default:
			*s = headScan{}
			return 0, i + 1, nil
		}
	}
}

// parse reads a whole head, with CRLF at the end of every line.
func (r *Request) parse(b []byte) *Refusal {
	fields := r.Fields[:0]
	*r = Request{Fields: fields}
	end := bytes.IndexByte(b, '\n')
	if err := r.requestLine(b[:end-1]); err != nil {
		return err
	}
	b = b[end+1:]
	for len(b) > 2 {
		end = bytes.IndexByte(b, '\n')
		if err := r.field(b[:end-1]); err != nil {
			return err
		}
		b = b[end+1:]
	}
	return r.frame()
}

func (r *Request) requestLine(line []byte) *Refusal {
	i := bytes.IndexByte(line, ' ')
	j := bytes.LastIndexByte(line, ' ')
	if i <= 0 || j <= i+1 {
		return errRequestLine
	}
	r.Method, r.Target = line[:i], line[i+1:j]
	if !IsToken(r.Method) {
		return errMethod
	}
	for _, c := range r.Target {
		if c <= ' ' || c == 0x7f {
			return errTarget
		}
	}
	v := line[j+1:]
	if len(v) != 8 || string(v[:5]) != "HTTP/" || v[6] != '.' || v[5] < '0' || v[5] > '9' || v[7] < '0' || v[7] > '9' {
		return errRequestLine
	}
	if v[5] != '1' {
		return errVersion
	}
	if v[7] != '0' {
		r.Minor = 1
	}
	return r.target()
}

// target checks the form of the request target (RFC 9112 section 3.2) and
// takes the host of an absolute one.
func (r *Request) target() *Refusal {
	switch t := r.Target; {
	case t[0] == '/':
		return nil
	case len(t) == 1 && t[0] == '*':
		if string(r.Method) != "OPTIONS" {
			return errTarget
		}
		return nil
	case string(r.Method) == "CONNECT":
		return nil
	case len(t) > 7 && EqualFold(t[:7], "http://"):
		return r.absolute(t[7:])
	case len(t) > 8 && EqualFold(t[:8], "https://"):
		return r.absolute(t[8:])
	}
	return errTarget
}

func (r *Request) absolute(rest []byte) *Refusal {
	i := bytes.IndexAny(rest, "/?#")
	if i < 0 {
		i = len(rest)
	}
	r.Host = rest[:i]
	if i == 0 || !validHost(r.Host) {
		return errTarget
	}
	r.Target = rest[i:]
	if len(r.Target) == 0 || r.Target[0] != '/' {
		path := append([]byte("/"), r.Target...)
		if len(path) == 1 && string(r.Method) == "OPTIONS" {
			path[0] = '*'
		}
		r.Target = path
	}
	return nil
}

func (r *Request) field(line []byte) *Refusal {
	if line[0] == ' ' || line[0] == '\t' {
		return errFold
	}
	i := bytes.IndexByte(line, ':')
	if i <= 0 || !IsToken(line[:i]) {
		return errFieldName
	}
	value := trim(line[i+1:])
	for _, c := range value {
		if !valueByte[c] {
			return errFieldValue
		}
	}
	if len(r.Fields) == maxFields {
		return errTooLarge
	}
	id := identify(line[:i])
	if id != Other {
		if r.present&(1<<id) != 0 {
			switch id {
			case Host:
				return errHost
			case ContentLength:
				return errLength
			case TransferEncoding:
				return errCoding
			}
		}
		r.present |= 1 << id
	}
	r.Fields = append(r.Fields, Field{Name: line[:i], Value: value, ID: id})
	return nil
}

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

// validHost tells whether h can be a host with an optional port (RFC 9110
// section 7.2). It may be empty.
func validHost(h []byte) bool {
	i := 0
	if len(h) > 0 && h[0] == '[' { // an address with colons
		for i = 1; i < len(h) && (hostByte[h[i]] || h[i] == ':'); i++ {
		}
		if i == 1 || i == len(h) || h[i] != ']' {
			return false
		}
		i++
	} else {
		for i < len(h) && hostByte[h[i]] {
			i++
		}
	}
	if i == len(h) {
		return true
	}
	if h[i] != ':' {
		return false
	}
	for _, c := range h[i+1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// hostByte is what a host's name may have: what RFC 3986 section 3.2.2 allows
// but the comma, and bytes above ASCII, which servers take as they are.
var hostByte = func() (host [256]bool) {
	for c := range 256 {
		host[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c >= 0x80
	}
	for _, c := range ".-_~%!$&'()*+;=" {
		host[c] = true
	}
	return host
}()

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

// Clone copies the request, so that it outlives its exchange (H3).
func (r *Request) Clone() *Request {
	size := len(r.Method) + len(r.Target) + len(r.Host)
	for i := range r.Fields {
		size += len(r.Fields[i].Name) + len(r.Fields[i].Value)
	}
	arena := make([]byte, 0, size)
	keep := func(b []byte) []byte {
		from := len(arena)
		arena = append(arena, b...)
		return arena[from:len(arena):len(arena)]
	}
	c := *r
	c.Method, c.Target, c.Host = keep(r.Method), keep(r.Target), keep(r.Host)
	c.Fields = make([]Field, len(r.Fields))
	for i, f := range r.Fields {
		c.Fields[i] = Field{Name: keep(f.Name), Value: keep(f.Value), ID: f.ID}
	}
	return &c
}

// NewRequest makes the request that such a head would be parsed to, for what
// asks about requests that nobody has sent. head ends with an empty line.
func NewRequest(head []byte) (*Request, error) {
	r := new(Request)
	var scan headScan
	n, skip, refusal := scan.find(head)
	switch {
	case refusal != nil:
		return nil, refusal
	case n == 0 || skip > 0:
		return nil, errRequestLine
	}
	if refusal = r.parse(head[:n]); refusal != nil {
		return nil, refusal
	}
	return r, nil
}
