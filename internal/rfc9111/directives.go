package rfc9111

import (
	"math"
	"strings"
	"time"

	"walpurge/internal/http1"
)

// directives is what a Cache-Control field says (RFC 9111 section 5.2).
// Unknown directives are skipped.
type directives struct {
	withheld []string // the fields that private and no-cache name: they are not stored

	noStore, noCache, private, public, mustRevalidate, proxyRevalidate, mustUnderstand, onlyIfCached bool

	maxAge, sMaxAge, minFresh, maxStale, staleWhileRevalidate, staleIfError delta
}

// directive is the name of one.
type directive uint8

const (
	unknown directive = iota
	noStore
	noCache
	private
	public
	mustRevalidate
	proxyRevalidate
	mustUnderstand
	onlyIfCached
	maxAge
	sMaxAge
	minFresh
	maxStale
	staleWhileRevalidate
	staleIfError
)

// directiveOf reads a name, in which case doesn't count.
func directiveOf(name string) directive {
	switch strings.ToLower(name) {
	case "no-store":
		return noStore
	case "no-cache":
		return noCache
	case "private":
		return private
	case "public":
		return public
	case "must-revalidate":
		return mustRevalidate
	case "proxy-revalidate":
		return proxyRevalidate
	case "must-understand":
		return mustUnderstand
	case "only-if-cached":
		return onlyIfCached
	case "max-age":
		return maxAge
	case "s-maxage":
		return sMaxAge
	case "min-fresh":
		return minFresh
	case "max-stale":
		return maxStale
	case "stale-while-revalidate":
		return staleWhileRevalidate
	case "stale-if-error":
		return staleIfError
	}
	return unknown
}

// delta is a number of seconds (RFC 9111 section 1.2.2). The zero value is
// absent.
type delta struct {
	seconds int64
	given   bool
}

// MaxDelta is what a larger number of seconds counts as (RFC 9111 section
// 1.2.2).
const MaxDelta = math.MaxInt32

func (d delta) duration() time.Duration { return time.Duration(d.seconds) * time.Second }

// set takes a directive's argument. The least of several counts (RFC 9111
// section 4.2.1); one that is no number counts as zero, which keeps less.
func (d *delta) set(arg string) {
	var n int64
	for i := range len(arg) {
		if arg[i] < '0' || arg[i] > '9' {
			n = 0
			break
		}
		n = min(n*10+int64(arg[i]-'0'), MaxDelta)
	}
	if !d.given || n < d.seconds {
		*d = delta{n, true}
	}
}

// parseDirectives reads the values of Cache-Control.
func parseDirectives(values ...string) directives {
	var d directives
	for _, v := range values {
		for v != "" {
			var name, arg string
			name, arg, v = nextDirective(v)
			d.add(directiveOf(name), arg)
		}
	}
	return d
}

func (d *directives) add(n directive, arg string) {
	switch n {
	case noStore:
		d.noStore = true
	case noCache:
		d.noCache = !d.withhold(arg) || d.noCache
	case private:
		d.private = !d.withhold(arg) || d.private
	case public:
		d.public = true
	case mustRevalidate:
		d.mustRevalidate = true
	case proxyRevalidate:
		d.proxyRevalidate = true
	case mustUnderstand:
		d.mustUnderstand = true
	case onlyIfCached:
		d.onlyIfCached = true
	case minFresh:
		var n delta // of several the one that asks for most
		if n.set(arg); n.seconds >= d.minFresh.seconds {
			d.minFresh = n
		}
	case maxStale:
		if arg == "" && !d.maxStale.given {
			d.maxStale = delta{MaxDelta, true}
		} else if arg != "" {
			d.maxStale.set(arg)
		}
	default:
		if lifetime := d.lifetime(n); lifetime != nil {
			lifetime.set(arg)
		}
	}
}

// lifetime is where a response's directive n keeps its seconds; nil: it has none.
func (d *directives) lifetime(n directive) *delta {
	switch n {
	case maxAge:
		return &d.maxAge
	case sMaxAge:
		return &d.sMaxAge
	case staleWhileRevalidate:
		return &d.staleWhileRevalidate
	case staleIfError:
		return &d.staleIfError
	}
	return nil
}

// needed are the fields without which a stored response can't be used.
var needed = map[string]bool{
	"Age": true, "Cache-Control": true, "Content-Encoding": true, "Content-Length": true, "Content-Range": true,
	"Content-Type": true, "Date": true, "Expires": true, "Transfer-Encoding": true, "Vary": true,
}

// withhold takes the field names of the qualified form of private and no-cache
// (RFC 9111 sections 5.2.2.4 and 5.2.2.7). It returns false for the unqualified
// form, and for an argument that is no list of names, which counts as that.
func (d *directives) withhold(arg string) bool {
	names := FieldNames(arg)
	if len(names) == 0 {
		return false
	}
	for _, name := range names {
		if !http1.IsToken([]byte(name)) || needed[name] {
			return false
		}
	}
	d.withheld = append(d.withheld, names...)
	return true
}

// bridged tells whether a response is of use past its lifetime (RFC 5861).
func (d *directives) bridged() bool {
	return !d.noCache && !d.mustRevalidate && !d.proxyRevalidate && !d.sMaxAge.given &&
		(d.staleWhileRevalidate.seconds > 0 || d.staleIfError.seconds > 0)
}

// nextDirective cuts one directive off a list. Its argument may be quoted.
// White space around the equals sign isn't allowed, and stays in the argument,
// where no number can be read then. A quote that isn't closed ends at the next
// comma, so that it hides no directive.
func nextDirective(v string) (name, arg, rest string) {
	v = strings.TrimLeft(v, " \t,")
	i := strings.IndexAny(v, "=,")
	if i < 0 {
		return strings.TrimSpace(v), "", ""
	}
	name = strings.TrimSpace(v[:i])
	if v[i] == ',' {
		return name, "", v[i+1:]
	}
	spaced := len(name) < i
	v = v[i+1:]
	if !strings.HasPrefix(v, `"`) || spaced {
		arg, rest, _ = strings.Cut(v, ",")
		if arg = strings.TrimRight(arg, " \t"); spaced {
			arg = " " + arg
		}
		return name, arg, rest
	}
	quoted := v
	var b strings.Builder
	for i = 1; i < len(v) && v[i] != '"'; i++ {
		if v[i] == '\\' && i+1 < len(v) {
			i++
		}
		b.WriteByte(v[i])
	}
	if i >= len(v) {
		arg, rest, _ = strings.Cut(quoted, ",")
		return name, arg, rest
	}
	_, rest, _ = strings.Cut(v[i+1:], ",")
	return name, b.String(), rest
}
