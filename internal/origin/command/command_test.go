package command

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"walpurge/dev/testbed"
)

// asProgram makes the test binary be the program, so that exit statuses and
// signals are the real ones.
const asProgram = "ORIGIN_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		os.Exit(Report(Run(ctx, os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
	}
	testbed.Main(m)
}

// program is the command with DATABASE_URL set to url and nothing else in its environment.
func program(t *testing.T, url string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self, args...)
	command.Env = []string{asProgram + "=1"}
	if url != "" {
		command.Env = append(command.Env, "DATABASE_URL="+url)
	}
	return command
}

func TestCommandLines(t *testing.T) {
	url := testbed.Database(t)
	const dead = "postgres://someone:secret@127.0.0.1:1/nothing?connect_timeout=2"
	for _, test := range []struct {
		url, line string
		exit      int
		stdout    string // part of it
		stderr    string // part of it; "" means that nothing may be there
	}{
		{url, "", 2, "", "usage: origin COMMAND"},
		{url, "help", 0, "usage: origin COMMAND", ""},
		{url, "run -h", 0, "-listen address", ""},
		{dead, "seed -h", 0, "-listings", ""}, // no default with a password in it
		{url, "sow", 2, "", `unknown command "sow"`},
		{url, "seed -listings many", 2, "", "see origin seed -h"},
		{url, "seed -listings 0", 2, "", "-listings must be from 1"},
		{url, "migrate now", 2, "", `unexpected argument "now"`},
		{"", "migrate", 2, "", "use -database URL or set DATABASE_URL"},
		{"postgres://someone:secret@host:port/x", "run", 2, "", "-database or DATABASE_URL has a port that is no number"},
		{"postgres://someone:p@secret@host/x", "migrate", 2, "", "has an @ or a / in the user or password as it is"},
		{"host=127.0.0.1 port=1x password = secret", "seed", 2, "", "has a port that is no number"},
		{"host=127.0.0.1 sslmode=no-verify password='secret", "run", 2, "", "a single quote that is not closed"},
		{url, "migrate postgres://someone:secret@host/x", 2, "", "the database's URL stands behind -database"},
		{url, "run -redis redis://someone:p@secret@127.0.0.1:1/0", 2, "", "-redis has an @ or a / in the user or password"},
		{dead, "migrate", 1, "", "origin: connect to PostgreSQL: dial tcp 127.0.0.1:1: connect: connection refused; correct -database or DATABASE_URL, or start the server\n"},
		{dead, "run", 1, "", "origin: connect to PostgreSQL: dial tcp 127.0.0.1:1: connect: connection refused; correct"},
		{url, "run", 1, "", "run: origin migrate"},
		{url, "seed", 1, "", "run: origin migrate"},
		{url, "migrate", 0, "schema version", ""},
		{dead, "migrate -database " + url, 0, "applied: 0", ""},
		{url, "seed -listings 100", 0, "seeded 100 listings and 10 agents", ""},
		{url, "seed -listings 100", 1, "", "use -reset"},
		{url, "seed -listings 100 -if-empty", 0, "nothing to do", ""},
		{url, "seed -if-empty -reset", 2, "", "exclude each other"},
		{url, "seed -listings 200 -reset", 0, "seeded 200 listings", ""},
		{url, "run -listen 127.0.0.1:none", 1, "", "choose another address with -listen"},
		{url, "run -redis http://127.0.0.1:1", 2, "", "-redis has no scheme"},
		{url, "run -redis redis://:secret@127.0.0.1:1 -max-lag 0s", 2, "", "-max-lag must be positive"},
		{url, "run -redis redis://:secret@127.0.0.1:1 -slot NO", 1, "", "lower-case letters"},
	} {
		var stdout, stderr bytes.Buffer
		command := program(t, test.url, strings.Fields(test.line)...)
		command.Stdout, command.Stderr = &stdout, &stderr
		// The exit status is looked at below; any other failure leaves it at -1.
		_ = command.Run()
		exit := command.ProcessState.ExitCode()
		if exit != test.exit || !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) ||
			test.stderr == "" && stderr.Len() > 0 {
			t.Errorf("origin %s: exit %d, want %d\nstdout: %s\nstderr: %s", test.line, exit, test.exit, &stdout, &stderr)
		}
		if strings.Contains(stdout.String()+stderr.String(), "secret") {
			t.Errorf("origin %s shows the password: %s%s", test.line, &stdout, &stderr)
		}
	}
}

// served starts "run" and returns the service's URL. The program is stopped, and
// has to end well, at the end of the test.
func served(t *testing.T, url string, args ...string) string {
	t.Helper()
	command := program(t, url, append([]string{"run", "-listen", "127.0.0.1:0"}, args...)...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	log, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan int, 1)
	address := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(log)
		for lines.Scan() {
			if found := regexp.MustCompile(`msg=listening addr=(127\.0\.0\.1:[1-9]\d*)`).FindStringSubmatch(lines.Text()); found != nil {
				address <- found[1]
			}
		}
		_ = command.Wait() // the status is looked at below
		ended <- command.ProcessState.ExitCode()
	}()
	// The test's context ends before its clean-up.
	t.Cleanup(func() {
		select {
		case exit := <-ended:
			if exit != 0 {
				t.Errorf("origin %v: exit %d", args, exit)
			}
		case <-time.After(time.Minute):
			_ = command.Process.Kill()
			t.Errorf("origin %v doesn't stop", args)
		}
	})
	select {
	case a := <-address:
		return "http://" + a
	case <-time.After(time.Minute):
		t.Fatalf("origin %v doesn't listen", args)
		return ""
	}
}

func read(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%s: %s, %v, %s", url, response.Status, err, body)
	}
	return string(body)
}

// With the query cache alone the program leads: it makes publication and slot
// itself. What it shows is byte for byte what it would without a cache.
func TestRunWithQueryCache(t *testing.T) {
	url := testbed.Database(t)
	for _, args := range [][]string{{"migrate"}, {"seed", "-listings", "500"}} {
		if out, err := program(t, url, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	const slot = "query_cache"
	plain := served(t, url)
	cached := served(t, url, "-redis", testbed.SharedRedis(t), "-redis-namespace", slot, "-slot", slot)
	paths := []string{"/", "/listings?city=Lagos", "/api/listings?min_price=1000&sort=price_asc", "/api/listings/7", "/api/cities"}
	hits := regexp.MustCompile(`origin_query_cache_requests_total\{query="(\w+)",result="hit"\} [1-9]`)
	deadline := time.Now().Add(time.Minute)
	for seen := map[string]bool{}; len(seen) < 4; {
		for _, path := range paths {
			if got, want := read(t, cached+path), read(t, plain+path); got != want {
				t.Fatalf("%s shows\n%s\nwant\n%s", path, got, want)
			}
		}
		for _, found := range hits.FindAllStringSubmatch(read(t, cached+"/metrics"), -1) {
			seen[found[1]] = true
		}
		if time.Now().After(deadline) {
			t.Fatalf("hits of %v alone", seen)
		}
	}
	if metrics := read(t, plain+"/metrics"); strings.Contains(metrics, "query_cache") || !strings.Contains(metrics, "origin_queries_total") {
		t.Errorf("without -redis: %s", metrics)
	}
}

func TestRunWithoutRedisServes(t *testing.T) {
	url := testbed.Database(t)
	for _, args := range [][]string{{"migrate"}, {"seed", "-listings", "100"}} {
		if out, err := program(t, url, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	site := served(t, url, "-redis", "redis://127.0.0.1:1", "-slot", "no_redis")
	for range 10 {
		read(t, site+"/")
	}
}

func TestRunServesUntilAskedToStop(t *testing.T) {
	url := testbed.Database(t)
	if out, err := program(t, url, "migrate").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		command := program(t, url, "run", "-listen", "127.0.0.1:0")
		log, err := command.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		watchdog := time.AfterFunc(time.Minute, func() { _ = command.Process.Kill() })
		lines := bufio.NewReader(log)
		first, err := lines.ReadString('\n')
		address := regexp.MustCompile(`addr=(127\.0\.0\.1:[1-9]\d*)`).FindStringSubmatch(first)
		if err != nil || address == nil {
			t.Fatalf("no address in %q, %v", first, err)
		}
		response, err := http.Get("http://" + address[1] + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != 200 {
			t.Errorf("healthz: %d", response.StatusCode)
		}
		if err := command.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(lines)
		if err := command.Wait(); err != nil || !strings.Contains(string(rest), "stopped") {
			t.Errorf("%v: %v, %s", signal, err, rest)
		}
		watchdog.Stop()
	}
}
