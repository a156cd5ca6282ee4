package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"walpurge/config"
)

// compose is docker-compose.yml as far as it is used here (https://docs.docker.com/reference/compose-file/).
type compose struct {
	Name        string                       `yaml:"name"`
	Program     service                      `yaml:"x-program"`
	Environment map[string]map[string]string `yaml:"x-environment"`
	Services    map[string]service           `yaml:"services"`
	Volumes     map[string]*struct{}         `yaml:"volumes"`
}

type service struct {
	Build           string                `yaml:"build"`
	Image           string                `yaml:"image"`
	Entrypoint      []string              `yaml:"entrypoint"`
	Command         []string              `yaml:"command"`
	Environment     map[string]string     `yaml:"environment"`
	Volumes         []string              `yaml:"volumes"`
	Ports           []string              `yaml:"ports"`
	Restart         string                `yaml:"restart"`
	ReadOnly        bool                  `yaml:"read_only"`
	CapDrop         []string              `yaml:"cap_drop"`
	SecurityOpt     []string              `yaml:"security_opt"`
	StopGracePeriod string                `yaml:"stop_grace_period"`
	ShmSize         string                `yaml:"shm_size"`
	Healthcheck     *healthcheck          `yaml:"healthcheck"`
	DependsOn       map[string]dependency `yaml:"depends_on"`
}

type healthcheck struct {
	Disable  bool     `yaml:"disable"`
	Test     []string `yaml:"test"`
	Interval string   `yaml:"interval"`
	Timeout  string   `yaml:"timeout"`
	Retries  int      `yaml:"retries"`
}

type dependency struct {
	Condition string `yaml:"condition"`
}

func readCompose(t *testing.T) *compose {
	t.Helper()
	return decode[compose](t, "docker-compose.yml")
}

// reference is a variable of the environment in docker-compose.yml, with its default.
var reference = regexp.MustCompile(`\$\{([A-Z_]+)(:-([^}]*))?\}`)

func withDefaults(text string) string { return reference.ReplaceAllString(text, "$3") }

func TestComposeStartsWithoutAnEnvironment(t *testing.T) {
	for _, match := range reference.FindAllStringSubmatch(read(t, "docker-compose.yml"), -1) {
		if match[3] == "" {
			t.Errorf("%s has no default", match[0])
		}
	}
}

func TestComposeServicesAreWhole(t *testing.T) {
	c := readCompose(t)
	want := []string{"grafana", "origin", "origin-migrate", "origin-seed", "postgres", "prometheus", "proxy", "proxy-setup", "redis"}
	for _, name := range want {
		if _, ok := c.Services[name]; !ok {
			t.Errorf("there is no service %s", name)
		}
	}
	for name, s := range c.Services {
		if s.Image == "" && s.Build == "" {
			t.Errorf("%s has neither image nor build", name)
		}
		if s.Build == "" && !regexp.MustCompile(`:v?\d`).MatchString(s.Image) {
			t.Errorf("%s: the image %s has no version", name, s.Image)
		}
		for other, d := range s.DependsOn {
			needed, ok := c.Services[other]
			switch {
			case !ok:
				t.Errorf("%s depends on %s, which is no service", name, other)
			case d.Condition == "service_healthy" && needed.Healthcheck == nil:
				t.Errorf("%s waits until %s is healthy, which has no health check", name, other)
			case d.Condition == "service_completed_successfully" && needed.Restart != "no":
				t.Errorf("%s waits until %s has ended, which is started again then", name, other)
			case !slices.Contains([]string{"service_started", "service_healthy", "service_completed_successfully"}, d.Condition):
				t.Errorf("%s depends on %s with the condition %q", name, other, d.Condition)
			}
		}
		for _, volume := range s.Volumes {
			source, target, _ := strings.Cut(volume, ":")
			if !strings.HasPrefix(source, "./") {
				if _, ok := c.Volumes[source]; !ok {
					t.Errorf("%s mounts the volume %s, which is not declared", name, source)
				}
				continue
			}
			if _, err := os.Stat(filepath.Join(root, source)); err != nil {
				t.Errorf("%s mounts what isn't there: %v", name, err)
			}
			if !strings.HasSuffix(target, ":ro") {
				t.Errorf("%s may write to %s", name, source)
			}
		}
		// Docker publishes ports past the host's firewall: only the site itself is for others.
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") && port != "8080:8080" {
				t.Errorf("%s publishes %s on all interfaces", name, port)
			}
		}
	}
	for name := range c.Volumes {
		if !slices.ContainsFunc(allVolumes(c), func(v string) bool { return strings.HasPrefix(v, name+":") }) {
			t.Errorf("the volume %s is declared and used by no service", name)
		}
	}
}

func allVolumes(c *compose) (list []string) {
	for _, s := range c.Services {
		list = append(list, s.Volumes...)
	}
	return list
}

// Waiting in a circle starts nothing.
func TestComposeDependenciesHaveNoCycle(t *testing.T) {
	c := readCompose(t)
	var visit func(name string, above []string)
	visit = func(name string, above []string) {
		if slices.Contains(above, name) {
			t.Fatalf("a cycle: %s", strings.Join(append(above, name), " → "))
		}
		for other := range c.Services[name].DependsOn {
			visit(other, append(slices.Clip(above), name))
		}
	}
	for name := range c.Services {
		visit(name, nil)
	}
}

func TestPostgresBoundsWhatTheSlotKeeps(t *testing.T) {
	command := readCompose(t).Services["postgres"].Command
	for _, setting := range []string{"wal_level=logical", "max_slot_wal_keep_size=2GB"} {
		if i := slices.Index(command, setting); i < 1 || command[i-1] != "-c" {
			t.Errorf("PostgreSQL runs without -c %s: %v", setting, command)
		}
	}
}

// Asked for help at its end, a program reads all of its command line first and refuses what it doesn't know.
func TestCommandLinesAreUnderstood(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "./cmd/proxy", "./cmd/origin")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the programs: %v\n%s", err, out)
	}
	seen := map[string]bool{}
	for name, s := range readCompose(t).Services {
		if s.Image != "walpurge" {
			continue
		}
		program := "proxy" // the image's own
		if len(s.Entrypoint) > 0 {
			program = filepath.Base(s.Entrypoint[0])
		}
		command := exec.Command(filepath.Join(bin, program), append(slices.Clone(s.Command), "-h")...)
		if out, err := command.CombinedOutput(); err != nil || !bytes.HasPrefix(out, []byte("usage: ")) {
			t.Errorf("%s: %s: %v\n%s", name, command, err, out)
		}
		seen[program+" "+s.Command[0]] = true
		switch check := s.Healthcheck; {
		case check == nil:
			t.Errorf("%s has the image's health check, which is for a proxy", name)
		case s.Restart == "no" != check.Disable:
			t.Errorf("%s: a health check is for what goes on running", name)
		case !check.Disable:
			words := append(slices.Clone(check.Test[2:]), "-h")
			if out, err := exec.Command(filepath.Join(bin, filepath.Base(check.Test[1])), words...).CombinedOutput(); err != nil || !bytes.HasPrefix(out, []byte("usage: ")) {
				t.Errorf("%s: %v: %v\n%s", name, check.Test, err, out)
			}
		}

		// A configuration that is named is mounted there.
		if i := slices.Index(s.Command, "-config"); i >= 0 && !slices.Contains(s.Volumes, "./config/compose.yaml:"+s.Command[i+1]+":ro") {
			t.Errorf("%s: nothing is mounted at %s", name, s.Command[i+1])
		}
	}
	for _, want := range []string{"origin migrate", "origin seed", "origin run", "proxy setup", "proxy run"} {
		if !seen[want] {
			t.Errorf("no service runs %s", want)
		}
	}
}

// TestOriginSharesTheProxysChanges: the service's query cache follows the proxy's publication and slot through the
// proxy's Redis, and starts once both are there.
func TestOriginSharesTheProxysChanges(t *testing.T) {
	c := readCompose(t)
	origin := c.Services["origin"]
	redis := c.Services["proxy"].Environment["REDIS_URL"]
	given := map[string]string{}
	for i := 1; i+1 < len(origin.Command); i += 2 {
		given[origin.Command[i]] = origin.Command[i+1]
	}
	if given["-redis"] != redis || redis == "" {
		t.Errorf("the service's -redis is %q, the proxy's %q", given["-redis"], redis)
	}
	loaded, err := config.Load(filepath.Join(root, "config/compose.yaml"), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.Command(filepath.Join(bin, "origin"), "run", "-h").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]string{
		"-slot": loaded.Postgres.Slot, "-publication": loaded.Postgres.Publication, "-redis-namespace": loaded.Redis.Namespace,
	} {
		got, ok := given[flag]
		if byDefault := regexp.MustCompile(`(?m)^  ` + flag + ` \w+\n.*\(default "(.*)"\)$`).FindSubmatch(help); !ok && byDefault != nil {
			got = string(byDefault[1])
		}
		if got != want || got == "" {
			t.Errorf("the service follows %s %s, the proxy %s", flag, got, want)
		}
	}
	for other, condition := range map[string]string{"redis": "service_healthy", "proxy-setup": "service_completed_successfully"} {
		if origin.DependsOn[other].Condition != condition {
			t.Errorf("the service doesn't wait for %s (%s)", other, condition)
		}
	}
}
