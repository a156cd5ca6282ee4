package bench

import (
	"context"
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed native/floor.c configs
var files embed.FS

// contestant is a server to measure.
type contestant struct {
	name    string
	program string   // name in PATH, or path
	args    []string // CONFIG and PORT stand for the configuration's path and the port
	config  string   // template in configs; empty: none
	mark    string   // how Cache-Status begins when the answer is from the cache; empty: it doesn't say
}

// names of the contestants that the goals are about.
const (
	guarded = "proxy, guarded"
	plain   = "proxy, plain"
	haproxy = "HAProxy"
	nginx   = "nginx"
	bottom  = "C floor"
)

func contestants(proxy, floor, response string) []contestant {
	const hit = "walpurge; hit"
	return []contestant{
		{name: guarded, program: proxy, args: []string{"run", "-config", "CONFIG"}, config: "guarded.yaml", mark: hit},
		{name: plain, program: proxy, args: []string{"run", "-config", "CONFIG"}, config: "plain.yaml", mark: hit},
		{name: haproxy, program: "haproxy", args: []string{"-db", "-f", "CONFIG"}, config: "haproxy.cfg"},
		{name: nginx, program: "nginx", args: []string{"-e", "stderr", "-c", "CONFIG"}, config: "nginx.conf"},
		{name: bottom, program: floor, args: []string{"PORT", response}},
	}
}

// site is what a configuration's template may name.
type site struct {
	Dir      string // of the server, its own
	Listen   string // host:port
	Port     string
	Admin    string // host:port
	Origin   string // host:port
	Database string // URL
	Root     bool   // the servers run as root
}

// launch starts a contestant in a directory of its own.
func (c *contestant) launch(s site, core int) (*process, error) {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, err
	}
	config := filepath.Join(s.Dir, "config")
	if c.config != "" {
		if err := render(c.config, config, s); err != nil {
			return nil, err
		}
	}
	args := make([]string, len(c.args))
	for i, arg := range c.args {
		args[i] = strings.NewReplacer("CONFIG", config, "PORT", s.Port).Replace(arg)
	}
	return start(filepath.Join(s.Dir, "log"), core, c.program, args...)
}

func render(name, path string, s site) error {
	t, err := template.ParseFS(files, "configs/"+name)
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := t.Option("missingkey=error").Execute(&text, s); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}

// newSite chooses ports that are free at this moment.
func newSite(dir, origin, database string) (site, error) {
	s := site{Dir: dir, Origin: origin, Database: database, Root: os.Geteuid() == 0}
	var open []net.Listener
	defer func() {
		for _, l := range open {
			_ = l.Close()
		}
	}()
	for _, address := range []*string{&s.Listen, &s.Admin} {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return s, fmt.Errorf("find a free port: %w", err)
		}
		open = append(open, l)
		*address = l.Addr().String()
	}
	_, port, err := net.SplitHostPort(s.Listen)
	s.Port = port
	return s, err
}

// buildFloor compiles the floor and writes the response that it gives.
func buildFloor(ctx context.Context, dir string) (program, response string, err error) {
	source, err := files.ReadFile("native/floor.c")
	if err != nil {
		return "", "", err
	}
	program, response = filepath.Join(dir, "floor"), filepath.Join(dir, "response")
	if err := os.WriteFile(program+".c", source, 0o600); err != nil {
		return "", "", err
	}
	out, err := exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, program+".c").CombinedOutput()
	if err != nil {
		return "", "", fmt.Errorf("compile the floor: %w: %s", err, out)
	}
	return program, response, os.WriteFile(response, append([]byte(responseHead), body...), 0o600)
}

// requirePrograms looks for everything that is run, so that nothing is missing half-way.
func requirePrograms(names ...string) error {
	var missing []string
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return fmt.Errorf("%s not found: `make bench` builds and installs what is needed, or run `scripts/install.sh servers peers compiler` and `make build`", strings.Join(missing, ", "))
	}
	return nil
}
