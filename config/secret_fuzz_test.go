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
	for i, s := range []string{
		"", "p@", "p/", "p?", "p#", "a b", "a\t", "'", `\`, `'a\'`, "a=b", "%", "[", "a b=", "p@h/x?a=", "://", "\x00", "\n", "${X}", "é", "5/", ":", `"`, "}", "&sslmode=x", ",", ", a: ", "]: ", "\n  x: ", " #", "{", "|", "&a ", "*a", "!a ",
	} {
		form := uint8(i * 7 % 72) // 9 strings, 8 ways to write one
		f.Add(s, "", "require", form)
		f.Add("", s, "requre", form+1)
	}
	f.Fuzz(func(t *testing.T, before, after, mode string, form uint8) {
		if strings.Contains(mode+before, marker) || otherNames.MatchString(before) || strings.Contains(before+after+mode, "$") {
			return // a reference to the environment is a name, which is shown
		}
		secret := before + marker + after
		quoted := "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(secret) + "'"
		texts := []string{
			"postgres://app:" + secret + "@127.0.0.1:1/shop?sslmode=" + mode, "postgres://127.0.0.1:1/shop?sslmode=" + mode + "&password=" + secret,
			"host=127.0.0.1 port=1 password=" + secret + " sslmode=" + mode, "host=127.0.0.1 port=1 password='" + secret + "' sslmode=" + mode,
			"host\t=127.0.0.1 port=1 password = " + quoted + "\tsslmode\t=" + mode,
			"redis://app:" + secret + "@127.0.0.1:1/0", "redis+sentinel://app:" + secret + "@127.0.0.1:1/m", "unix://app:" + secret + "@/run/redis.sock",
			"http://app:" + secret + "@127.0.0.1:1/",
		}
		text, written := texts[int(form)%len(texts)], int(form)/len(texts)
		key := "tracing"
		var said []any
		switch scheme, _, _ := strings.Cut(text, "://"); {
		case strings.HasPrefix(scheme, "postgres") || strings.HasPrefix(scheme, "host"):
			key, said = "postgres", []any{conninfo.Check(text), conninfo.Describe(text)}
		case scheme != "http":
			client, err := redisclient.New(text, redisclient.Limits{})
			if err == nil {
				_ = client.Close()
			}
			key, said = "redis", []any{redisclient.Check(text), redisclient.Describe(text), err}
		}
		inJSON, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		url := []string{string(inJSON), text, "'" + text + "'", `"` + text + `"`}[written%4]
		layout := []string{"origin: http://h\n%s: { url: %s }\n", "origin: http://h\n%s:\n  url: %s\n"}[written/4%2]
		c, err := Parse("f", fmt.Appendf(nil, layout, key, url), nil)
		if all := fmt.Sprint(append(said, c, err)...); strings.Contains(all, marker) {
			t.Fatalf("%q:\n%s", text, all)
		}
	})
}
