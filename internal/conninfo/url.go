package conninfo

import (
	"strings"
)

// readURL reads postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?NAME=VALUE by libpq's rules (PostgreSQL documentation,
// 34.1.1.2), but for one: an @ behind the user and password has to be written as %40. Where one stands unescaped, what was
// taken for the host is the tail of a password, and would be looked up in the DNS.
func (i *Info) readURL(text string) *Error {
	_, rest, _ := strings.Cut(text, "://")
	nth := 0
	if at := strings.IndexAny(rest, "@/"); at >= 0 && rest[at] == '@' {
		user, password, _ := strings.Cut(rest[:at], ":")
		rest = rest[at+1:]
		for _, part := range []struct{ name, raw string }{{"user", user}, {"password", password}} {
			value, ok := unescape(part.raw)
			switch {
			case !ok:
				return wrong("has a user or password that is not percent-encoded; " + encode)
			case value != "":
				i.settings[part.name] = setting{value: value}
			}
		}
	}
	if strings.Contains(rest, "@") {
		return wrong("has an @ or a / in the user or password as it is; percent-encode them: @ is %40 and / is %2F, and : is %3A, ? is %3F, # is %23, % is %25")
	}
	servers, rest, ok := cutAny(rest, "/?")
	if err := i.readServers(servers); err != nil {
		return err
	}
	query := ""
	if ok && text[len(text)-len(rest)-1] == '/' {
		database, after, _ := strings.Cut(rest, "?")
		value, ok := unescape(database)
		switch {
		case !ok:
			return wrong("has a database that is not percent-encoded; " + encode)
		case value != "":
			i.settings["dbname"] = setting{value: value}
		}
		query = after
	} else if ok {
		query = rest
	}
	if query == "" {
		return nil
	}
	for pair := range strings.SplitSeq(query, "&") {
		nth++
		rawName, rawValue, isPair := strings.Cut(pair, "=")
		name, okName := unescape(rawName)
		value, okValue := unescape(rawValue)
		if !isPair || strings.Contains(rawValue, "=") || !okName || !okValue {
			return wrong("has a parameter, number " + ordinal(nth) + ", that is not NAME=VALUE in percent-encoding; write = as %3D in a value, a space as %20, % as %25")
		}
		if name == "ssl" && value == "true" { // libpq knows it for the sake of JDBC
			name, value = "sslmode", "require"
		}
		if err := i.set(name, value, nth); err != nil {
			return err
		}
	}
	return nil
}

// cutAny cuts s at the first of chars.
func cutAny(s, chars string) (before, after string, found bool) {
	if at := strings.IndexAny(s, chars); at >= 0 {
		return s[:at], s[at+1:], true
	}
	return s, "", false
}

// readServers reads HOST:PORT,HOST:PORT. IPv6 addresses stand in brackets.
func (i *Info) readServers(list string) *Error {
	const bad = "has an IPv6 address whose bracket is not closed, or something behind the bracket; write [::1]:5432"
	var hosts, ports []string
	for rest := list; ; {
		host := ""
		if strings.HasPrefix(rest, "[") {
			var closed bool
			if host, rest, closed = strings.Cut(rest[1:], "]"); !closed || host == "" || rest != "" && rest[0] != ':' && rest[0] != ',' {
				return wrong(bad)
			}
		} else {
			end := strings.IndexAny(rest, ":,")
			if end < 0 {
				end = len(rest)
			}
			host, rest = rest[:end], rest[end:]
		}
		port := ""
		if strings.HasPrefix(rest, ":") {
			end := strings.IndexByte(rest, ',')
			if end < 0 {
				end = len(rest)
			}
			port, rest = rest[1:end], rest[end:]
		}
		hosts, ports = append(hosts, host), append(ports, port)
		if rest == "" {
			break
		}
		rest = rest[1:]
	}
	host, okHost := unescape(strings.Join(hosts, ","))
	port, okPort := unescape(strings.Join(ports, ","))
	if !okHost || !okPort {
		return wrong("has a host or port that is not percent-encoded; " + encode)
	}
	if host != "" {
		i.settings["host"] = setting{value: host}
	}
	if port != "" {
		i.settings["port"] = setting{value: port}
	}
	return nil
}

// unescape decodes percent-encoding. As in libpq, spaces around the text don't count, and there are none within.
func unescape(s string) (string, bool) {
	s = strings.Trim(s, " ")
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ':
			return "", false
		case c != '%':
			b.WriteByte(c)
		default:
			if i+2 >= len(s) {
				return "", false
			}
			high, low := unhex(s[i+1]), unhex(s[i+2])
			if high < 0 || low < 0 || high+low == 0 {
				return "", false
			}
			b.WriteByte(byte(high<<4 | low))
			i += 2
		}
	}
	return b.String(), true
}

func unhex(c byte) int {
	if c >= 'A' && c <= 'F' {
		c += 'a' - 'A'
	}
	return strings.IndexByte("0123456789abcdef", c)
}
