package peers

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// said is a response of the origin in the comparison.
type said struct {
	name   string
	status int
	fields []string
}

// asked is what comes after the first request, which is a plain GET.
type asked struct {
	name   string
	method string
	fields []string
	after  string // the method of a request before it
}

const (
	peerTag  = `"tag-1"`
	peerBody = "0123456789"
)

// date is a moment that far from now, as fields have it.
func date(from time.Duration) string { return time.Now().Add(from).UTC().Format(http.TimeFormat) }

// comparison is the product of what origins say and clients ask.
func comparison() ([]said, []asked) {
	const cc = "Cache-Control: "
	tagged := []string{"Etag: " + peerTag, "Last-Modified: " + date(-10*24*time.Hour)}
	var responses []said
	for _, status := range []int{200, 203, 301, 302, 404, 410, 500, 503} {
		responses = append(responses, said{fmt.Sprint(status), status, append(slices.Clip(tagged), cc+"max-age=600")})
	}
	for _, directives := range []string{
		"s-maxage=600", "max-age=0", "no-store", "no-cache", "private", "public", "max-age=\"600\"", "MAX-AGE=600", "max-age=600, must-revalidate",
		"max-age=600, s-maxage=0", "max-age=0, s-maxage=600", "max-age=600, no-cache", "max-age=600, private", "public, max-age=600", "max-age=600a",
	} {
		responses = append(responses, said{directives, 200, append(slices.Clip(tagged), cc+directives)})
	}
	return append(responses,
		said{"nothing", 200, nil},
		said{"validators only", 200, tagged},
		said{"no validators", 200, []string{cc + "max-age=600"}},
		said{"Expires", 200, []string{"Expires: " + date(time.Hour)}},
		said{"Expires in the past", 200, []string{"Expires: " + date(-time.Hour)}},
		said{"Expires: 0", 200, []string{"Expires: 0"}},
		said{"Expires and max-age=0", 200, []string{"Expires: " + date(time.Hour), cc + "max-age=0"}},
		said{"old by Age", 200, []string{cc + "max-age=600", "Age: 1000"}},
		said{"young by Age", 200, []string{cc + "max-age=600", "Age: 10"}},
		said{"Vary", 200, []string{cc + "max-age=600", "Vary: X-Foo"}},
		said{"Vary: *", 200, []string{cc + "max-age=600", "Vary: *"}},
		said{"Set-Cookie", 200, []string{cc + "max-age=600", "Set-Cookie: a=b"}},
		said{"weak tag", 200, []string{cc + "max-age=600", "Etag: W/" + peerTag}},
	), []asked{
		{"GET", "GET", nil, ""},
		{"HEAD", "HEAD", nil, ""},
		{"no-cache", "GET", []string{cc + "no-cache"}, ""},
		{"max-age=0", "GET", []string{cc + "max-age=0"}, ""},
		{"only-if-cached", "GET", []string{cc + "only-if-cached"}, ""},
		{"If-None-Match", "GET", []string{"If-None-Match: " + peerTag}, ""},
		{"another tag", "GET", []string{`If-None-Match: "other"`}, ""},
		{"a range", "GET", []string{"Range: bytes=2-4"}, ""},
		{"Authorization", "GET", []string{"Authorization: Basic eA=="}, ""},
		{"Cookie", "GET", []string{"Cookie: a=b"}, ""},
		{"another variant", "GET", []string{"X-Foo: 2"}, ""},
		{"after POST", "GET", nil, "POST"},
	}
}

// differences are the cases in which ours does what none of the others does,
// each with the sentence that it follows. Empty lists are all.
var differences = []struct {
	said, asked []string
	ours        string // how the outcome begins
	because     string
}{
	{nil, []string{"no-cache"}, "validated", "RFC 9111 section 5.2.1.4: the client prefers that a stored response isn't used without successful validation on the origin server"},
	{nil, []string{"max-age=0"}, "validated", "RFC 9111 section 5.2.1.1: the client prefers a response whose age is at most so many seconds; section 4.3 lets the cache validate what it has"},
	{nil, []string{"only-if-cached"}, "kept 504", "RFC 9111 section 5.2.1.7: the client wants only a stored response; a cache that can't satisfy that answers 504"},
	{[]string{"max-age=0", "no-cache", "max-age=600, no-cache", "max-age=600, s-maxage=0"}, nil, "validated", "RFC 9111 section 4.3: what can't be used without validation is kept and validated"},
	{[]string{"max-age=600a"}, nil, "validated", "RFC 9111 section 4.2.1: responses with invalid freshness information are considered stale; section 4.3 validates them"},
	{[]string{"public"}, []string{"Authorization"}, "kept 200", "RFC 9111 section 3.5: public lets a shared cache use the response for requests with Authorization"},
	{[]string{`max-age="600"`}, []string{"a range"}, "kept 206", "RFC 9111 section 5.2: recipients take both forms of an argument, token and quoted; RFC 9110 section 14.2: a range is answered with 206"},
	{[]string{"Set-Cookie"}, []string{"If-None-Match", "another tag"}, "validated", "RFC 9111 section 4.3.2: with nothing stored the client's own condition goes on to the origin; section 7.3: such a response may be one client's own"},
}

// peerOrigin answers by path: /SERVER/RESPONSE/REQUEST.
type peerOrigin struct {
	responses map[string]said

	mu   sync.Mutex
	seen map[string][]string // by path: what was asked
}

func (o *peerOrigin) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body)
	name, err := url.PathUnescape(strings.Split(req.URL.EscapedPath(), "/")[2])
	if err != nil {
		w.WriteHeader(400)
		return
	}
	kind := "asked"
	if req.Header.Get("If-None-Match")+req.Header.Get("If-Modified-Since") != "" {
		kind = "validated"
	}
	o.mu.Lock()
	o.seen[req.URL.EscapedPath()] = append(o.seen[req.URL.EscapedPath()], kind)
	o.mu.Unlock()
	r := o.responses[name]
	for _, f := range r.fields {
		name, value, _ := strings.Cut(f, ": ")
		w.Header().Add(name, value)
	}
	w.Header().Set("Content-Type", "text/plain")
	if tag := w.Header().Get("Etag"); tag != "" && req.Header.Get("If-None-Match") == tag && req.Method == http.MethodGet {
		w.WriteHeader(304)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(peerBody)))
	w.WriteHeader(r.status)
	if req.Method != http.MethodHead {
		_, _ = io.WriteString(w, peerBody)
	}
}

func (o *peerOrigin) since(path string, n int) (kinds []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[path][min(n, len(o.seen[path])):]
}

// freePort is one that nobody uses at this moment.
func freePort(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// startPeer runs a server until the test ends and waits until it accepts.
func startPeer(t *testing.T, addr, program string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed; run scripts/install.sh caches", program)
	}
	cmd := exec.Command(path, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			t.Errorf("%s did not stop", program)
		}
	})
	deadline := time.After(30 * time.Second)
	for {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s: %v\n%s", program, err, out.String())
		case <-deadline:
			t.Fatalf("%s accepts nothing", program)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// peers starts nginx, Varnish and HAProxy in front of the origin, as their
// documentation sets up a cache that follows the origin's headers.
func peers(t *testing.T, origin string) map[string]string {
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n"
	}
	nginx := freePort(t)
	startPeer(t, nginx, "nginx", "-e", "stderr", "-p", dir, "-c", write("nginx.conf", user+`daemon off; worker_processes 1; pid `+dir+`/nginx.pid; error_log stderr crit;
events { worker_connections 256; }
http {
  access_log off; client_body_temp_path `+dir+`/b; proxy_temp_path `+dir+`/p; fastcgi_temp_path `+dir+`/f; uwsgi_temp_path `+dir+`/u; scgi_temp_path `+dir+`/s;
  proxy_cache_path `+dir+`/cache keys_zone=c:10m;
  server { listen `+nginx+`; location / { proxy_pass http://`+origin+`; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_cache c; proxy_cache_revalidate on; } }
}
`))
	haproxy := freePort(t)
	startPeer(t, haproxy, "haproxy", "-db", "-f", write("haproxy.cfg", `global
  nbthread 1
  maxconn 200
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
cache c
  total-max-size 16
  max-age 3600
  process-vary on
frontend f
  bind `+haproxy+`
  http-request cache-use c
  http-response cache-store c
  default_backend b
backend b
  server s `+origin+`
`))
	varnish := freePort(t)
	startPeer(t, varnish, "varnishd", "-F", "-j", "none", "-n", filepath.Join(dir, "varnish"), "-a", varnish, "-b", origin, "-s", "malloc,32m", "-p", "feature=+http2", "-p", "thread_pools=1", "-p", "thread_pool_min=5")
	return map[string]string{"nginx": nginx, "HAProxy": haproxy, "Varnish": varnish}
}

// outcome plays one case through one server.
func (o *peerOrigin) outcome(c *http.Client, server, addr string, r said, q asked) (string, error) {
	path := "/" + server + "/" + url.PathEscape(r.name) + "/" + url.PathEscape(q.name)
	do := func(method string, fields []string) (*http.Response, string, error) {
		var body io.Reader
		if method == http.MethodPost {
			body = strings.NewReader("x")
		}
		req, err := http.NewRequest(method, "http://"+addr+path, body)
		if err != nil {
			return nil, "", err
		}
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			req.Header.Add(name, value)
		}
		resp, err := c.Do(req)
		if err != nil {
			return nil, "", err
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		return resp, string(b), err
	}
	if _, _, err := do(http.MethodGet, nil); err != nil {
		return "", err
	}
	if q.after != "" {
		if _, _, err := do(q.after, nil); err != nil {
			return "", err
		}
	}
	before := len(o.since(path, 0))
	resp, _, err := do(q.method, q.fields)
	if err != nil {
		return "", err
	}
	kind := "kept"
	if kinds := o.since(path, before); len(kinds) > 0 {
		kind = kinds[len(kinds)-1]
	}
	return fmt.Sprint(kind, " ", resp.StatusCode), nil
}

// TestWhereWeDifferFromNginxVarnishAndHAProxy plays some hundred exchanges
// through all four. Where ours does what none of the others does, the table
// has the sentence that it follows.
func TestWhereWeDifferFromNginxVarnishAndHAProxy(t *testing.T) {
	began := time.Now()
	responses, requests := comparison()
	o := &peerOrigin{responses: map[string]said{}, seen: map[string][]string{}}
	for _, r := range responses {
		o.responses[r.name] = r
	}
	origin := httptest.NewServer(o)
	defer origin.Close()
	addr := strings.TrimPrefix(origin.URL, "http://")
	ours := rig.Plain(t, origin.URL)
	servers := peers(t, addr)
	servers["ours"] = strings.TrimPrefix(ours.URL, "http://")
	tr := &http.Transport{DisableCompression: true}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	cases, alone := 0, 0
	used := make([]bool, len(differences))
	for _, r := range responses {
		for _, q := range requests {
			cases++
			got := map[string]string{}
			for name, addr := range servers {
				var err error
				if got[name], err = o.outcome(client, name, addr, r, q); err != nil {
					t.Fatalf("%s: %s, then %s: %v", name, r.name, q.name, err)
				}
			}
			if ours := got["ours"]; ours != got["nginx"] && ours != got["Varnish"] && ours != got["HAProxy"] {
				alone++
				found := false
				for i, d := range differences {
					if (d.said == nil || slices.Contains(d.said, r.name)) && (d.asked == nil || slices.Contains(d.asked, q.name)) && strings.HasPrefix(ours, d.ours) {
						used[i], found = true, true
					}
				}
				if !found {
					t.Errorf("%s, then %s: ours %q, nginx %q, Varnish %q, HAProxy %q", r.name, q.name, ours, got["nginx"], got["Varnish"], got["HAProxy"])
				}
			}
		}
	}
	for i, d := range differences {
		if !used[i] {
			t.Errorf("ours no longer differs on %q, %q with %s: %s", d.said, d.asked, d.ours, d.because)
		}
	}
	testbed.Measured(t, "%d exchanges through nginx, Varnish, HAProxy and ours in %.1f s; in %d ours does what none of them does", cases, time.Since(began).Seconds(), alone)
}
