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

// maxFields bounds the lines of one head, whatever its bytes.
const maxFields = 256

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
