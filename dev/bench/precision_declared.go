package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"text/template"
	"time"
)

// declaration is a way to declare what the listings service's pages depend on.
type declaration struct {
	name          string
	configuration func(site) (string, error) // of the proxy
	needless      float64                    // the goal for the share of needless purges, at most; 0: there is none
}

// declarations are the ways that are compared, from the coarsest to the finest.
var declarations = []declaration{
	{name: "whole tables", configuration: routes("whole.yaml")},
	{name: "conditions", configuration: routes("conditions.yaml")},
	{name: "and columns", configuration: routes("columns.yaml")},
	{name: "and the agents that are shown", configuration: routes("joins.yaml")},
	// WINDOWS: once routes can declare them, configs/precision/windows.yaml is joins.yaml with windows, and this is its entry:
	// {name: "and windows", configuration: routes("windows.yaml"), needless: 0.15},
	{name: "as the demo has them", configuration: demoConfiguration},
}

// demoConfig is the demo's configuration, a template, from the module's root.
const demoConfig = "dev/demo/demo.yaml"

// precisionLag is the proxies' max_lag: a stall of the machine is none of what is measured, and each change is waited for.
const precisionLag = "1m"

// routes is the configuration with the routes of a file of configs/precision.
func routes(name string) func(site) (string, error) {
	return func(s site) (string, error) {
		var whole []string
		for _, name := range []string{"head.yaml", name} {
			text, err := files.ReadFile("configs/precision/" + name)
			if err != nil {
				return "", err
			}
			whole = append(whole, string(text))
		}
		filled, err := expand([]string{strings.Join(whole, "")}, s)
		if err != nil {
			return "", fmt.Errorf("write the configuration: %w", err)
		}
		return filled[0], nil
	}
}

func demoConfiguration(s site) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(root, demoConfig))
	if err != nil {
		return "", fmt.Errorf("read the demo's configuration: %w", err)
	}
	t, err := template.New(demoConfig).Option("missingkey=error").Parse(string(text))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, map[string]string{
		"Listen": s.Listen, "Admin": s.Admin, "Origin": "http://" + s.Origin, "Postgres": s.Database, "Redis": s.Redis, "MaxLag": precisionLag,
	})
	return b.String(), err
}

// moduleRoot is the directory of go.mod above the working directory.
func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find %s: %s is not in the repository; run it from there", demoConfig, start)
		}
	}
}

// service is the listings service on a port of its own, which notes what it was asked for.
type service struct {
	server  *http.Server
	address string
	ended   chan error

	mu struct {
		sync.Mutex
		asked map[string]bool // by target
	}
}

func serve(handler http.Handler) (*service, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &service{address: listener.Addr().String(), ended: make(chan error, 1)}
	s.mu.asked = map[string]bool{}
	s.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.mu.asked[r.URL.RequestURI()] = true
		s.mu.Unlock()
		handler.ServeHTTP(w, r)
	})}
	go func() { s.ended <- s.server.Serve(listener) }()
	return s, nil
}

// wasAsked tells whether the service was asked for target since it was last asked about it here.
func (s *service) wasAsked(target string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.mu.asked[target]
	delete(s.mu.asked, target)
	return asked
}

func (s *service) close() error {
	err := s.server.Close()
	if served := <-s.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// declared is a proxy that runs with a declaration, before a service of its own, and what its purges were.
type declared struct {
	declaration
	site
	proxy   *process
	service *service
	cached  []bool // by page: whether it is kept at all
	purges  purges
}

// purges counts pages, each once a change.
type purges struct {
	purged, needless int
	missed           int // that are served otherwise than the service has them, once the change has settled
	changed          int // of those that are kept
}

// share is of the needless ones among all.
func (p purges) share() float64 { return float64(p.needless) / float64(max(p.purged, 1)) }

// start prepares the database for the proxy and starts it.
func (d *declared) start(ctx context.Context, program string, core int) error {
	path := filepath.Join(d.Dir, "config")
	text, err := d.configuration(d.site)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, program, "setup", "-config", path).CombinedOutput(); err != nil {
		return fmt.Errorf("proxy setup: %w: %s", err, out)
	}
	if d.proxy, err = start(filepath.Join(d.Dir, "output"), core, nil, program, "run", "-config", path); err != nil {
		return err
	}
	return d.proxy.await(ctx, "readiness", func(ctx context.Context) error {
		body, err := fetchAdmin(ctx, d.Admin, "/readyz")
		if err != nil {
			return err
		}
		return body.Close()
	})
}

func (d *declared) end() (err error) {
	if d.proxy != nil {
		err = d.proxy.stop()
	}
	if d.service != nil {
		err = errors.Join(err, d.service.close())
	}
	return err
}
