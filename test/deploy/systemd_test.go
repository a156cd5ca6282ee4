package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"walpurge/config"
)

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// unit is a unit file: values by section and key, in the file's order.
type unit map[string]map[string][]string

var unitFiles = []string{"walpurge.service", "walpurge.socket", "walpurge-admin.socket"}

// readUnit parses a unit file strictly (systemd.syntax(7)).
func readUnit(t *testing.T, name string) unit {
	t.Helper()
	u, section := unit{}, ""
	for i, line := range strings.Split(read(t, "deploy/systemd/"+name), "\n") {
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case regexp.MustCompile(`^\[[A-Z][a-z]+\]$`).MatchString(line):
			section = strings.Trim(line, "[]")
			u[section] = map[string][]string{}
		case !ok || section == "" || !regexp.MustCompile(`^[A-Z][A-Za-z]+$`).MatchString(key):
			t.Fatalf("%s:%d: %q is neither a section nor a setting", name, i+1, line)
		default:
			u[section][key] = append(u[section][key], value)
		}
	}
	return u
}

func (u unit) get(section, key string) string {
	return strings.Join(u[section][key], "\n")
}

func TestSystemdUnitsFitEachOther(t *testing.T) {
	service := readUnit(t, "walpurge.service")
	for name, want := range map[string][2]string{"walpurge.socket": {"listen", "0.0.0.0:8080"}, "walpurge-admin.socket": {"admin", "127.0.0.1:8081"}} {
		u := readUnit(t, name)
		if u.get("Socket", "FileDescriptorName") != want[0] || u.get("Socket", "ListenStream") != want[1] || u.get("Socket", "Service") != "walpurge.service" {
			t.Errorf("%s is %v", name, u)
		}
		if !strings.Contains(service.get("Unit", "Requires"), name) {
			t.Errorf("the service doesn't ask for %s", name)
		}
	}
	if got := service.get("Service", "RestartPreventExitStatus"); got != "2" {
		t.Errorf("a mistake in the configuration is tried again: %q", got)
	}
	c, err := config.Parse("f", []byte("origin: http://h"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if stop := strings.TrimSuffix(service.get("Service", "TimeoutStopSec"), "s"); float64(atoi(t, stop)) <= c.ShutdownTimeout.Seconds() {
		t.Errorf("the proxy is killed after %s s, while requests may finish for %s", stop, c.ShutdownTimeout)
	}
	for _, line := range []string{service.get("Service", "ExecStart"), service.get("Service", "ExecStartPre")} {
		understood(t, strings.Fields(line))
	}
	if !strings.Contains(service.get("Service", "ExecReload"), "-HUP") {
		t.Error("reload doesn't send SIGHUP")
	}
}

// TestSystemdTakesTheUnits asks systemd itself, where it is installed; what doesn't need it is tested above.
func TestSystemdTakesTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not here: the units were parsed only")
		return
	}
	dir := t.TempDir()
	var paths []string
	for _, name := range unitFiles {
		text := strings.ReplaceAll(read(t, "deploy/systemd/"+name), "/usr/local/bin/proxy", "/bin/true") // what isn't installed is complained of
		paths = append(paths, filepath.Join(dir, name))
		if err := os.WriteFile(paths[len(paths)-1], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(analyze, append([]string{"verify", "--man=no", "--recursive-errors=no"}, paths...)...).CombinedOutput()
	if err != nil || strings.Contains(string(out), "walpurge") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
