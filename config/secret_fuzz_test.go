package config

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"walpurge/internal/conninfo"
	"walpurge/internal/redisclient"
)

// otherNames are parameters whose values may be shown, or that name a file.
var otherNames = regexp.MustCompile(`(?i)(host|hostaddr|port|dbname|database|user|service|servicefile)\s*=`)

// FuzzNoMessageHoldsThePassword plants a password as it is in a URL and in key=value pairs, as these want it written and as they
// don't, and puts them into the file quoted and unquoted.
func FuzzNoMessageHoldsThePassword(f *testing.F) {
	const marker = "ssw0rd"
	for _, s := range []string{
		"", "p@", "p/", "p?", "p#", "a b", "a\t", "'", `\`, `'a\'`, "a=b", "%", "[", "a b=", "p@h/x?a=", "://", "\x00", "\n", "${X}", "é", "5/", ":", `"`, "}", "&sslmode=x", ",", ", a: ", "]: ", "\n  x: ", " #", "{", "|", "&a ", "*a", "!a ",
	} {
		f.Add(s, "", "x")
		f.Add("", s, "requre")
		f.Add(s, s, "require")
	}
	f.Fuzz(func(t *testing.T, before, after, mode string) {
		if strings.Contains(mode+before, marker) || otherNames.MatchString(before) || strings.Contains(before+after+mode, "$") {
			return // a reference to the environment is a name, which is shown
		}
		secret := before + marker + after
		quoted := "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(secret) + "'"
		check := func(key, text string, said ...any) {
			inJSON, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			for _, url := range []string{string(inJSON), text, "'" + text + "'", `"` + text + `"`} {
				for _, form := range []string{"origin: http://h\n%s: { url: %s }\n", "origin: http://h\n%s:\n  url: %s\n"} {
					c, err := Parse("f", fmt.Appendf(nil, form, key, url), nil)
					said = append(said, c, err)
				}
			}
			if all := fmt.Sprint(said...); strings.Contains(all, marker) {
				t.Fatalf("%q:\n%s", text, all)
			}
		}
		for _, text := range []string{
			"postgres://app:" + secret + "@127.0.0.1:1/shop?sslmode=" + mode, "postgres://127.0.0.1:1/shop?sslmode=" + mode + "&password=" + secret,
			"host=127.0.0.1 port=1 password=" + secret + " sslmode=" + mode, "host=127.0.0.1 port=1 password='" + secret + "' sslmode=" + mode,
			"host\t=127.0.0.1 port=1 password = " + quoted + "\tsslmode\t=" + mode,
		} {
			check("postgres", text, conninfo.Check(text), conninfo.Describe(text))
		}
		for _, text := range []string{"redis://app:" + secret + "@127.0.0.1:1/0", "redis+sentinel://app:" + secret + "@127.0.0.1:1/m", "unix://app:" + secret + "@/run/redis.sock"} {
			client, err := redisclient.New(text, redisclient.Limits{})
			if err == nil {
				_ = client.Close()
			}
			check("redis", text, redisclient.Check(text), redisclient.Describe(text), err)
		}
		check("tracing", "http://app:"+secret+"@127.0.0.1:1/")
	})
}
