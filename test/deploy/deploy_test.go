package deploy

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"walpurge/config"
)

// root is the repository.
const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// decode reads a YAML file of the repository; a key that the type doesn't know is an error.
func decode[T any](t *testing.T, path string) *T {
	t.Helper()
	into := new(T)
	if err := yaml.UnmarshalWithOptions([]byte(read(t, path)), into, yaml.Strict()); err != nil {
		t.Fatalf("%s: %s", path, yaml.FormatError(err, false, true))
	}
	return into
}

// proxyConfig is the proxy's configuration in the containers.
func proxyConfig(t *testing.T, env func(string) (string, bool)) *config.Config {
	t.Helper()
	c, err := config.Load(filepath.Join(root, "config/compose.yaml"), env)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every service that the proxy's configuration names is one of docker-compose.yml, and the ports agree.
func TestConfigurationFitsTheServices(t *testing.T) {
	services := readCompose(t).Services
	proxy := services["proxy"]
	c := proxyConfig(t, func(name string) (string, bool) {
		value, ok := proxy.Environment[name]
		return withDefaults(value), ok
	})

	command := services["origin"].Command
	listen := command[slices.Index(command, "-listen")+1]
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		t.Fatal(err)
	}
	if want := "origin:" + port; c.Origin.Host != want {
		t.Errorf("the proxy's origin is %s and the service listens on %s", c.Origin.Host, want)
	}
	for name, url := range map[string]string{"postgres": string(c.Postgres.URL), "redis": string(c.Redis.URL)} {
		if !regexp.MustCompile(`[/@]` + name + `:\d+/`).MatchString(url) {
			t.Errorf("the URL of %s leads elsewhere", name)
		}
	}
	postgres := services["postgres"].Environment
	for _, name := range []string{"proxy", "proxy-setup", "origin", "origin-migrate", "origin-seed"} {
		want := fmt.Sprintf("postgres://%s:%s@postgres:5432/%s?sslmode=disable", postgres["POSTGRES_USER"], postgres["POSTGRES_PASSWORD"], postgres["POSTGRES_DB"])
		if got := services[name].Environment["DATABASE_URL"]; got != want {
			t.Errorf("%s connects to %s, want %s", name, got, want)
		}
	}
	for _, address := range []config.Address{c.Listen, c.Admin} {
		_, port, err := net.SplitHostPort(address.Address)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(proxy.Ports, func(p string) bool { return strings.HasSuffix(p, ":"+port+":"+port) || p == port+":"+port }) {
			t.Errorf("port %s of the proxy is not published: %v", port, proxy.Ports)
		}
	}
}

// Without any environment the demo's defaults hold, and they are the same in both files.
func TestConfigurationLoadsWithoutAnEnvironment(t *testing.T) {
	c := proxyConfig(t, nil)
	proxy := readCompose(t).Services["proxy"].Environment
	for name, got := range map[string]config.Secret{"DATABASE_URL": c.Postgres.URL, "REDIS_URL": c.Redis.URL, "ADMIN_TOKEN": c.AdminToken} {
		if want := withDefaults(proxy[name]); string(got) != want {
			t.Errorf("config/compose.yaml has another default for %s than docker-compose.yml", name)
		}
	}
}

// The image is built with the toolchain that go.mod names, holds both programs and runs as nobody in particular.
func TestImageIsBuiltFromThisRepository(t *testing.T) {
	text := read(t, "Dockerfile")
	for _, line := range []string{
		"golang:" + strings.TrimPrefix(toolchain(t), "go") + " AS build",
		"CGO_ENABLED=0",
		"-trimpath",
		"./cmd/proxy ./cmd/origin",
		"FROM gcr.io/distroless/static:nonroot",
		"COPY --from=build /out/proxy /out/origin /",
		"USER nonroot",
		`CMD ["/proxy", "status", "-check"]`,
		`ENTRYPOINT ["/proxy"]`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("Dockerfile: no %s", line)
		}
	}
	copied := regexp.MustCompile(`(?m)^COPY ([^-\n].*) \S+$`).FindAllStringSubmatch(text, -1)
	if len(copied) < 4 {
		t.Fatalf("Dockerfile: found %d COPY of sources, want at least 4", len(copied))
	}
	var sources []string
	for _, match := range copied {
		for source := range strings.FieldsSeq(match[1]) {
			if _, err := os.Stat(filepath.Join(root, source)); err != nil {
				t.Errorf("Dockerfile copies what isn't there: %v", err)
			}
			sources = append(sources, source)
		}
	}
	// What the programs import must be among it; with a profile each package is listed once for each program.
	list := exec.Command("go", "list", "-pgo=off", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{end}}{{end}}", "./cmd/proxy", "./cmd/origin")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		top, _, _ := strings.Cut(strings.TrimPrefix(path, "walpurge/"), "/")
		if !slices.Contains(sources, top) {
			t.Errorf("Dockerfile does not copy %s, which %s is part of", top, path)
		}
	}
}
