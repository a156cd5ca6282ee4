package conninfo

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

const (
	defaultPort   = 5432
	maxSocketPath = 107 // bytes, what a sockaddr_un holds on Linux besides the final zero
)

// server is one of those that the string names. They are tried in turn.
type server struct {
	host    string // a name, an address, a directory with a socket, or empty: the driver's default
	address string // hostaddr: where to connect to instead of looking the host up
	port    uint16
}

// String is the server in words that are safe to print: host has passed checkHost.
func (s server) String() string {
	host := s.host
	if host == "" {
		host = s.address
	}
	switch {
	case host == "" && s.port == defaultPort:
		return ""
	case strings.HasPrefix(host, "/"):
		host = url.PathEscape(host)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	if s.port == defaultPort {
		return host
	}
	return host + ":" + strconv.Itoa(int(s.port))
}

// readList brings host, hostaddr and port together.
func (i *Info) readList() *Error {
	hosts, addresses, ports := strings.Split(i.get("host"), ","), strings.Split(i.get("hostaddr"), ","), strings.Split(i.get("port"), ",")
	n := len(hosts)
	if i.get("hostaddr") != "" {
		if i.get("host") != "" && len(hosts) != len(addresses) {
			return i.wrong("hostaddr", "names another number of hosts than of addresses in hostaddr; give one address for each host")
		}
		n = len(addresses)
	}
	if len(ports) != 1 && len(ports) != n {
		return i.wrong("port", "names another number of ports than of hosts; give one port, or one for each host")
	}
	i.servers = nil
	for k := range n {
		var s server
		if i.get("host") != "" {
			s.host = hosts[k]
		}
		if i.get("hostaddr") != "" {
			s.address = addresses[k]
		}
		if what := checkHost(s.host); what != "" {
			return i.wrong("host", what)
		}
		if _, err := netip.ParseAddr(s.address); s.address != "" && err != nil {
			return i.wrong("hostaddr", "has a hostaddr that is no IP address; write a name as host")
		}
		text := strings.Trim(ports[min(k, len(ports)-1)], blanks)
		port, err := strconv.ParseUint(text, 10, 16)
		switch {
		case text == "":
			port = defaultPort
		case err != nil || port == 0:
			return i.wrong("port", "has a port that is no number from 1 to 65535; correct it, or "+encode)
		}
		s.port = uint16(port)
		i.servers = append(i.servers, s)
	}
	return nil
}

// checkHost says what is wrong with a host. What can be none is most likely the tail of a password.
func checkHost(host string) string {
	if strings.HasPrefix(host, "@") {
		return "has an abstract socket as its host, which is not supported, or an @ in the password; name a socket's directory, or " + encode
	}
	if strings.HasPrefix(host, "/") {
		if len(host)+len("/.s.PGSQL.65535") > maxSocketPath {
			return "has a socket's directory whose path is too long for a socket; choose a shorter one"
		}
		for _, r := range host {
			if !nameRune(r) && r != '/' && r != '+' && r != '~' && r != ' ' {
				return "has a socket's directory with a character that is not shown here; use letters, digits and _.-+~"
			}
		}
		return ""
	}
	if len(host) > 255 {
		return "has a host that is longer than any name in the DNS; correct it"
	}
	_, err := netip.ParseAddr(host)
	for _, r := range host {
		if err != nil && !nameRune(r) {
			return "has a host that is no name and no address; correct it, or " + encode
		}
	}
	return ""
}

// nameRune tells whether r is of a name rather than of a piece of a connection string.
func nameRune(r rune) bool {
	return r == '-' || r == '.' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}
