package http1

// ID names the request header fields that are looked at by every request, so
// that a lookup compares numbers.
type ID uint8

// The known fields. Other is every field that isn't.
const (
	Other ID = iota
	Host
	Connection
	ContentLength
	TransferEncoding
	Expect
	Upgrade
	TE
	Trailer
	KeepAlive
	ProxyConnection
	ProxyAuthorization
	Authorization
	CacheControl
	Pragma
	Range
	IfRange
	IfMatch
	IfNoneMatch
	IfModifiedSince
	IfUnmodifiedSince
	Cookie
	AcceptEncoding
	Via
	Forwarded
	XForwardedFor
	XForwardedHost
	XForwardedProto
	WalpurgePosition
	WalpurgeNeeds
)

var fieldNames = [...]string{
	"", "host", "connection", "content-length", "transfer-encoding", "expect", "upgrade", "te", "trailer",
	"keep-alive", "proxy-connection", "proxy-authorization", "authorization", "cache-control", "pragma", "range",
	"if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "cookie",
	"accept-encoding", "via", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
	"walpurge-position", "walpurge-needs",
}

// String is the field's name in lower case.
func (id ID) String() string { return fieldNames[id] }

// Set is a set of known fields.
type Set uint64

// Of makes a set.
func Of(ids ...ID) Set {
	var s Set
	for _, id := range ids {
		s |= 1 << id
	}
	return s
}

// Field is one header line. It borrows the connection's buffer.
type Field struct {
	Name, Value []byte
	ID          ID
}

// identify finds the ID of a name, blind to letter case.
func identify(name []byte) ID {
	switch len(name) {
	case 2:
		return pick(name, TE)
	case 3:
		return pick(name, Via)
	case 4:
		return pick(name, Host)
	case 5:
		return pick(name, Range)
	case 6:
		switch name[0] | 0x20 {
		case 'c':
			return pick(name, Cookie)
		case 'e':
			return pick(name, Expect)
		case 'p':
			return pick(name, Pragma)
		}
	case 7:
		switch name[0] | 0x20 {
		case 'u':
			return pick(name, Upgrade)
		case 't':
			return pick(name, Trailer)
		}
	case 8:
		if name[3]|0x20 == 'r' {
			return pick(name, IfRange)
		}
		return pick(name, IfMatch)
	case 9:
		return pick(name, Forwarded)
	case 10:
		if name[0]|0x20 == 'k' {
			return pick(name, KeepAlive)
		}
		return pick(name, Connection)
	case 13:
		switch name[0] | 0x20 {
		case 'c':
			return pick(name, CacheControl)
		case 'a':
			return pick(name, Authorization)
		case 'i':
			return pick(name, IfNoneMatch)
		}
	case 14:
		if name[0]|0x20 == 'w' {
			return pick(name, WalpurgeNeeds)
		}
		return pick(name, ContentLength)
	case 15:
		switch name[0] | 0x20 {
		case 'a':
			return pick(name, AcceptEncoding)
		case 'x':
			return pick(name, XForwardedFor)
		}
	case 16:
		switch name[0] | 0x20 {
		case 'p':
			return pick(name, ProxyConnection)
		case 'x':
			return pick(name, XForwardedHost)
		}
	case 17:
		switch name[0] | 0x20 {
		case 't':
			return pick(name, TransferEncoding)
		case 'i':
			return pick(name, IfModifiedSince)
		case 'x':
			return pick(name, XForwardedProto)
		case 'w':
			return pick(name, WalpurgePosition)
		}
	case 19:
		if name[0]|0x20 == 'p' {
			return pick(name, ProxyAuthorization)
		}
		return pick(name, IfUnmodifiedSince)
	}
	return Other
}

func pick(name []byte, id ID) ID {
	if EqualFold(name, fieldNames[id]) {
		return id
	}
	return Other
}

// EqualFold tells whether name is lower, which is in lower case, blind to the
// case of ASCII letters.
func EqualFold(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// What RFC 9110 section 5.6.2 allows in a token, and section 5.5 in a value.
var tokenByte, valueByte = func() (token, value [256]bool) {
	for c := range 256 {
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		token[c] = alnum
		value[c] = c == '\t' || c >= ' ' && c != 0x7f
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		token[c] = true
	}
	return token, value
}()

// IsToken tells whether b is a token of RFC 9110 section 5.6.2.
func IsToken(b []byte) bool {
	for _, c := range b {
		if !tokenByte[c] {
			return false
		}
	}
	return len(b) > 0
}

// trim cuts optional white space of RFC 9110 section 5.6.3 off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
