package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// machine is what numbers were measured on.
type machine struct {
	cpu      string
	cores    int
	kernel   string
	revision string      // of the repository; empty when it can't be told
	versions [][2]string // program, version
}

// describeMachine finds out what it can: what is missing is left out.
func describeMachine(ctx context.Context) machine {
	m := machine{cpu: "unknown", cores: runtime.NumCPU(), kernel: "unknown"}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if match := regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`).FindSubmatch(text); match != nil {
			m.cpu = string(match[1])
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.kernel = string(bytes.TrimSpace(text))
	}
	m.revision = revision(ctx)
	m.versions = append(m.versions, [2]string{"Go", strings.TrimPrefix(runtime.Version(), "go")})
	for _, p := range []struct{ name, program, flag string }{
		{"PostgreSQL", "pg_recvlogical", "--version"},
		{"HAProxy", "haproxy", "-v"},
		{"nginx", "nginx", "-v"},
		{"Varnish", "varnishd", "-V"},
		{"Traffic Server", "traffic_server", "--version"},
		{"gunicorn", "gunicorn", "--version"},
		{"Redis", "redis-server", "--version"},
		{"gcc", "gcc", "--version"},
	} {
		path := p.program
		if p.program == "pg_recvlogical" {
			if found, err := recvlogical(); err == nil {
				path = found
			}
		}
		// Some tell their version and fail; only the text counts.
		out, _ := exec.CommandContext(ctx, path, p.flag).CombinedOutput()
		if version := versionNumber.Find(out); version != nil {
			m.versions = append(m.versions, [2]string{p.name, string(version)})
		}
	}
	out, _ := exec.CommandContext(ctx, "python3", "-c", "import django; print(django.__version__)").Output()
	if version := versionNumber.Find(out); version != nil {
		m.versions = append(m.versions, [2]string{"Django", string(version)})
	}
	return m
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

func revision(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return ""
	}
	name := strings.TrimSpace(string(out))
	if changed, err := exec.CommandContext(ctx, "git", "status", "--porcelain").Output(); err == nil && len(bytes.TrimSpace(changed)) > 0 {
		name += " with changes"
	}
	return name
}

// allowedCores are the cores that this process may run on.
func allowedCores() ([]int, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	match := regexp.MustCompile(`(?m)^Cpus_allowed_list:\s*(\S+)$`).FindSubmatch(text)
	if match == nil {
		return nil, fmt.Errorf("/proc/self/status does not say which cores are allowed")
	}
	return parseCores(string(match[1]))
}

// parseCores reads a list such as 0-2,5.
func parseCores(list string) ([]int, error) {
	var cores []int
	for part := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, err := strconv.Atoi(first)
		if err != nil {
			return nil, fmt.Errorf("cores %q: %w", list, err)
		}
		to, err := strconv.Atoi(last)
		if err != nil {
			return nil, fmt.Errorf("cores %q: %w", list, err)
		}
		for core := from; core <= to; core++ {
			cores = append(cores, core)
		}
	}
	return cores, nil
}

// coreList is the inverse of parseCores.
func coreList(cores []int) string {
	parts := make([]string, len(cores))
	for i, core := range cores {
		parts[i] = strconv.Itoa(core)
	}
	return strings.Join(parts, ",")
}
