// Package conninfo reads PostgreSQL connection strings as libpq reads them, and says what is wrong with one without showing
// any of it.
//
// What is printed of a connection is the host, port, database and user as they were read here, by [Info.String]. Nothing
// else that stands in the string, in the environment or in a service file is ever part of a message: the string that most
// needs hiding is the one that doesn't parse, and there no place is known to be free of the password. The driver's own
// messages quote their input, so it gets only what has been found good here.
package conninfo

import (
	"slices"
	"strings"
)

// Error is what is wrong with a connection string. It holds nothing of the string itself.
type Error struct {
	where string // the environment variable or file at fault; empty: the string
	what  string // begins with a verb; after a semicolon, the mend
}

// Error implements error.
func (e *Error) Error() string { return e.Of("the connection string") }

// Of is the sentence about the string that is called name.
func (e *Error) Of(name string) string {
	if e.where != "" {
		name = e.where
	}
	return name + " " + e.what
}

func wrong(what string) *Error { return &Error{what: what} }

// setting is the value of a parameter, and where it is from.
type setting struct {
	value string
	where string // as in Error
}

// Info is a connection string that can be used, with what the environment adds to it.
type Info struct {
	settings map[string]setting
	servers  []server
}

func (i *Info) get(name string) string { return i.settings[name].value }

// has tells whether the parameter is given, be it as an empty text.
func (i *Info) has(name string) bool {
	_, ok := i.settings[name]
	return ok
}

// wrong is an error about the parameter.
func (i *Info) wrong(name, what string) *Error { return &Error{i.settings[name].where, what} }

// Check reads text alone, without the environment and without a look at a file.
func Check(text string) error {
	i, err := read(text)
	if err != nil {
		return err
	}
	return errorOrNil(i.check())
}

// Parse reads text, the environment variables of libpq and the files that they name. The error is an [*Error].
func Parse(text string) (*Info, error) {
	i, err := read(text)
	if err != nil {
		return nil, err
	}
	if err := i.surround(); err != nil {
		return nil, err
	}
	if err := i.check(); err != nil {
		return nil, err
	}
	if err := i.files(); err != nil {
		return nil, err
	}
	if _, err := i.Connection(); err != nil { // what the driver refuses nevertheless
		return nil, err
	}
	return i, nil
}

// errorOrNil keeps a nil *Error from becoming an error that isn't nil.
func errorOrNil(err *Error) error {
	if err == nil {
		return nil
	}
	return err
}

// read reads the string's own parameters.
func read(text string) (*Info, error) {
	i := &Info{settings: map[string]setting{}}
	var err *Error
	switch scheme, _, isURL := strings.Cut(text, "://"); {
	case strings.IndexByte(text, 0) >= 0:
		err = wrong("holds a zero byte; take it out")
	case isURL && (scheme == "postgres" || scheme == "postgresql"):
		err = i.readURL(text)
	case isURL && !strings.ContainsAny(scheme, "= \t\r\n"):
		err = wrong("has a scheme of something else; write " + Example)
	case strings.TrimSpace(text) == "":
	case !strings.Contains(text, "="):
		err = wrong("is neither a URL nor key=value pairs; write " + Example)
	default:
		err = i.readPairs(text)
	}
	if err != nil {
		return nil, err
	}
	return i, nil
}

// Example is a connection string.
const Example = "postgres://user@127.0.0.1/database"

// encode is the mend of what is not percent-encoded.
const encode = "percent-encode special characters in the user, password and database, such as @ as %40 and / as %2F"

// set notes a parameter of the string. The last of several counts, as in libpq.
func (i *Info) set(name, value string, nth int) *Error {
	if a, ok := aliases[name]; ok {
		name = a
	}
	if _, known := parameters[name]; !known {
		if reason, foreign := foreigners[name]; foreign {
			return wrong("has the parameter " + name + ", " + reason)
		}
		return wrong("has an unknown parameter, number " + ordinal(nth) + "; take it out, or correct it: see the parameters of libpq in PostgreSQL's manual")
	}
	i.settings[name] = setting{value: value}
	return nil
}

// String says where the connection leads, as a URL of what is safe to print.
func (i *Info) String() string {
	text := "postgres://"
	if user := i.get("user"); Plain(user) {
		text += user + "@"
	}
	var servers []string
	for _, s := range i.servers {
		servers = append(servers, s.String())
	}
	text += strings.Join(slices.Compact(servers), ",")
	if db := i.get("dbname"); Plain(db) {
		text += "/" + db
	}
	return text
}

// Plain tells whether s can be shown as the user or database that it was read as: nothing hints that it is a piece of something else.
func Plain(s string) bool {
	for _, r := range s {
		if !nameRune(r) && r != ' ' {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

// Describe is what can be said of text: where it leads, or nothing.
func Describe(text string) string {
	i, err := read(text)
	if err != nil || i.check() != nil {
		return "[not readable]"
	}
	return i.String()
}
