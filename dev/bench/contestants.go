package main

import (
	"context"
	"embed"
	"errors"
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

// contestant is a server to measure. What is in braces, in its arguments and in its configurations, comes from the site.
type contestant struct {
	name    string
	program string            // name in PATH, or path
	args    []string          // templates
	env     []string          // templates
	configs map[string]string // file in the site's directory → template in configs
	mark    string            // is in the head of an answer from the cache; empty: it doesn't say
}

// Names of the contestants.
const (
	guarded = "proxy, guarded"
	plain   = "proxy, plain"
	haproxy = "HAProxy"
	nginx   = "nginx"
	varnish = "Varnish"
	traffic = "Traffic Server"
	bottom  = "C floor"
	django  = "Django page cache"
)

// peers are the other caches for whole responses that are servers of their own.
var peers = []string{haproxy, nginx, varnish, traffic}

// contestants are all of them by name. proxy is the path of our program, floor that of the C floor.
func contestants(proxy, floor string) map[string]*contestant {
	const hit = "Cache-Status: walpurge; hit"
	ours := []string{"run", "-config", "{{.Dir}}/config"}
	list := []contestant{
		{name: guarded, program: proxy, args: ours, configs: map[string]string{"config": "guarded.yaml"}, mark: hit},
		{name: plain, program: proxy, args: ours, configs: map[string]string{"config": "plain.yaml"}, mark: hit},
		{name: haproxy, program: "haproxy", args: []string{"-db", "-f", "{{.Dir}}/config"}, configs: map[string]string{"config": "haproxy.cfg"}},
		{name: nginx, program: "nginx", args: []string{"-e", "stderr", "-c", "{{.Dir}}/config"}, configs: map[string]string{"config": "nginx.conf"}},
		{
			name: varnish, program: "varnishd", configs: map[string]string{"config": "varnish.vcl"},
			args: []string{
				"-F", "-n", "{{.Dir}}/state", "-a", "{{.Listen}}", "-f", "{{.Dir}}/config", "-s", "malloc,{{.Memory}}M", "-j", "none",
				"-p", "thread_pools=1", "-p", "thread_pool_min=100", "-p", "default_grace=0", "-p", "default_keep=0", "-p", "shortlived=0",
			},
		},
		{
			name: traffic, program: "traffic_server", env: []string{"TS_RUNROOT={{.Dir}}/runroot.yaml"},
			configs: map[string]string{
				"runroot.yaml": "trafficserver/runroot.yaml", "records.config": "trafficserver/records.config",
				"remap.config": "trafficserver/remap.config", "storage.config": "trafficserver/storage.config",
				"ip_allow.yaml": "trafficserver/ip_allow.yaml", "logging.yaml": "trafficserver/empty", "plugin.config": "trafficserver/empty",
				"log/.keep": "trafficserver/empty", "cache/.keep": "trafficserver/empty",
			},
		},
		{
			name: django, program: "gunicorn", configs: map[string]string{"pages.py": "django.py"},
			args: []string{
				"--chdir", "{{.Dir}}", "--worker-tmp-dir", "{{.Dir}}", "--bind", "{{.Listen}}", "--backlog", "2048", "--workers", "1", "--worker-class", "gthread", "--threads", "8",
				"--worker-connections", "{{.Connections}}", "--keep-alive", "75", "--log-level", "warning", "pages:application",
			},
		},
		{name: bottom, program: floor, args: []string{"{{.Port}}", "{{.Response}}"}},
	}
	byName := make(map[string]*contestant, len(list))
	for i := range list {
		byName[list[i].name] = &list[i]
	}
	return byName
}

// site is what a configuration's template may name.
type site struct {
	Dir         string // of the server, its own
	Listen      string // host:port
	Port        string
	Admin       string // host:port
	Origin      string // host:port
	OriginPort  string
	Database    string // URL
	Redis       string // URL; empty: none
	Namespace   string // in Redis
	Response    string // path of what the C floor says
	Memory      int    // MiB for stored responses
	Connections int    // of clients, at most
	TTL         string // how long an answer is served, as the server spells it; empty: as the origin says
	Bypass      bool   // nothing is cached: a proxy only
	StreamOnly  bool   // the log is never read ahead of its stream
	Root        bool   // the servers run as root
}

// launch starts a contestant in a directory of its own.
func (c *contestant) launch(s site, core int) (*process, error) {
	for file, name := range c.configs {
		if err := render(name, filepath.Join(s.Dir, file), s); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, "log"), 0o755); err != nil {
		return nil, err
	}
	args, err := expand(c.args, s)
	if err != nil {
		return nil, err
	}
	env, err := expand(c.env, s)
	if err != nil {
		return nil, err
	}
	return start(filepath.Join(s.Dir, "log", "output"), core, env, c.program, args...)
}

// expand fills templates in.
func expand(list []string, s site) ([]string, error) {
	out := make([]string, len(list))
	for i, text := range list {
		t, err := template.New("argument").Parse(text)
		if err != nil {
			return nil, err
		}
		var b strings.Builder
		if err := t.Execute(&b, s); err != nil {
			return nil, err
		}
		out[i] = b.String()
	}
	return out, nil
}

// render writes a configuration.
func render(name, path string, s site) error {
	text, err := files.ReadFile("configs/" + name)
	if err != nil {
		return err
	}
	filled, err := expand([]string{string(text)}, s)
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(filled[0]), 0o644)
}

// newSite chooses ports that are free at this moment.
func newSite(dir, origin, database string) (site, error) {
	s := site{Dir: dir, Origin: origin, Database: database, Root: os.Geteuid() == 0, Memory: 256, Connections: 1024, Namespace: "bench"}
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
	return s, errors.Join(err, os.MkdirAll(dir, 0o755))
}

// buildFloor compiles the floor.
func buildFloor(ctx context.Context, dir string) (program string, err error) {
	source, err := files.ReadFile("native/floor.c")
	if err != nil {
		return "", err
	}
	program = filepath.Join(dir, "floor")
	if err := os.WriteFile(program+".c", source, 0o600); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, program+".c").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("compile the floor: %w: %s", err, out)
	}
	return program, nil
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
