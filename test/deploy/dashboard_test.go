package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// dashboard is what is checked of Grafana's dashboard model.
type dashboard struct {
	UID        string
	Title      string
	Panels     []panel
	Templating struct {
		List []struct {
			Name       string
			Definition string
			Datasource source
		}
	}
}

type panel struct {
	ID      int
	Title   string
	Type    string
	GridPos struct{ X, Y, W, H int }
	Targets []struct {
		Expr       string
		Datasource source
	}
}

type source struct{ Type, UID string }

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	d := new(dashboard)
	if err := json.Unmarshal([]byte(read(t, "config/grafana/dashboards/walpurge.json")), d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDashboardUsesMetricsThatExist(t *testing.T) {
	d := readDashboard(t)
	missing := maps.Clone(metrics)
	for _, p := range d.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			for _, problem := range problems(target.Expr) {
				t.Errorf("%s: %s", p.Title, problem)
			}
			for _, name := range metricName.FindAllString(target.Expr, -1) {
				delete(missing, strings.TrimSuffix(name, "_bucket"))
			}
		}
	}
	for _, v := range d.Templating.List {
		for _, problem := range problems(v.Definition) {
			t.Errorf("variable %s: %s", v.Name, problem)
		}
	}
	for name := range missing {
		t.Errorf("no panel shows %s", name)
	}
}

// Grafana's variables stand for what Prometheus would be asked, then each expression is a rule for promtool to parse.
func TestDashboardExpressionsParse(t *testing.T) {
	rules := "groups:\n- name: dashboard\n  rules:\n"
	count := 0
	variables := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*")
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			rules += fmt.Sprintf("  - record: panel:%d:%d\n    expr: %q\n", p.ID, count, variables.Replace(target.Expr))
			count++
		}
	}
	if count < 20 {
		t.Fatalf("found %d expressions, want at least 20", count)
	}
	path := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", path)
}

func TestDashboardPanelsDoNotOverlap(t *testing.T) {
	taken := map[[2]int]string{}
	seen := map[int]bool{}
	for _, p := range readDashboard(t).Panels {
		if seen[p.ID] {
			t.Errorf("the id %d is used twice", p.ID)
		}
		seen[p.ID] = true
		g := p.GridPos
		if g.W == 0 || g.H == 0 || g.X+g.W > 24 {
			t.Errorf("%s lies outside the grid: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies over %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// datasources and providers are Grafana's provisioning files.
type datasources struct {
	APIVersion  int `yaml:"apiVersion"`
	Datasources []struct {
		Name      string            `yaml:"name"`
		UID       string            `yaml:"uid"`
		Type      string            `yaml:"type"`
		Access    string            `yaml:"access"`
		URL       string            `yaml:"url"`
		IsDefault bool              `yaml:"isDefault"`
		JSONData  map[string]string `yaml:"jsonData"`
	} `yaml:"datasources"`
}

type providers struct {
	APIVersion int `yaml:"apiVersion"`
	Providers  []struct {
		Name            string            `yaml:"name"`
		Type            string            `yaml:"type"`
		DisableDeletion bool              `yaml:"disableDeletion"`
		AllowUIUpdates  bool              `yaml:"allowUiUpdates"`
		Options         map[string]string `yaml:"options"`
	} `yaml:"providers"`
}

func TestGrafanaFindsSourceAndDashboard(t *testing.T) {
	s := decode[datasources](t, "config/grafana/provisioning/datasources/prometheus.yaml").Datasources[0]
	if s.URL != "http://prometheus:9090" || s.Type != "prometheus" {
		t.Errorf("the source is %+v", s)
	}
	if interval := decode[prometheus](t, "config/prometheus.yml").Global.ScrapeInterval; s.JSONData["timeInterval"] != interval.String() {
		t.Errorf("Grafana takes the scrape interval for %s, it is %s", s.JSONData["timeInterval"], interval)
	}
	d := readDashboard(t)
	want := source{s.Type, s.UID}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			if target.Datasource != want {
				t.Errorf("%s asks %+v, the source is %+v", p.Title, target.Datasource, want)
			}
		}
	}
	for _, v := range d.Templating.List {
		if v.Datasource != want {
			t.Errorf("variable %s asks %+v", v.Name, v.Datasource)
		}
	}

	path := decode[providers](t, "config/grafana/provisioning/dashboards/walpurge.yaml").Providers[0].Options["path"]
	grafana := readCompose(t).Services["grafana"]
	for _, volume := range []string{"./config/grafana/dashboards:" + path + ":ro", "./config/grafana/provisioning:/etc/grafana/provisioning:ro"} {
		if !slices.Contains(grafana.Volumes, volume) {
			t.Errorf("Grafana's container has no %s", volume)
		}
	}
	if home := grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]; home != path+"/walpurge.json" {
		t.Errorf("the home dashboard is %s, the dashboards are in %s", home, path)
	}
}
