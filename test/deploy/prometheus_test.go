package deploy

import (
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// promtool runs the program of that name in the directory config.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is not in PATH: `make test` installs it, with the package prometheus")
	}
	command := exec.Command(path, args...)
	command.Dir = filepath.Join(root, "config")
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPrometheusTakesTheConfiguration(t *testing.T) {
	promtool(t, "check", "config", "prometheus.yml")
}

func TestPrometheusTakesTheAlerts(t *testing.T) { promtool(t, "check", "rules", "alerts.yml") }

func TestAlertsFireWhenTheyShouldAndOnlyThen(t *testing.T) {
	promtool(t, "test", "rules", "alerts_test.yml")
}

// prometheus is prometheus.yml as far as it is used here.
type prometheus struct {
	Global struct {
		ScrapeInterval     time.Duration `yaml:"scrape_interval"`
		EvaluationInterval time.Duration `yaml:"evaluation_interval"`
	} `yaml:"global"`
	RuleFiles     []string `yaml:"rule_files"`
	ScrapeConfigs []struct {
		JobName       string `yaml:"job_name"`
		StaticConfigs []struct {
			Targets []string `yaml:"targets"`
		} `yaml:"static_configs"`
	} `yaml:"scrape_configs"`
}

func TestPrometheusScrapesTheAdminPort(t *testing.T) {
	p := decode[prometheus](t, "config/prometheus.yml")
	_, port, err := net.SplitHostPort(proxyConfig(t, nil).Admin.Address)
	if err != nil {
		t.Fatal(err)
	}
	if job := p.ScrapeConfigs[0]; job.JobName != "walpurge" || !slices.Equal(job.StaticConfigs[0].Targets, []string{"proxy:" + port}) {
		t.Errorf("scrapes %+v, want the job walpurge with proxy:%s", p.ScrapeConfigs, port)
	}
	s := readCompose(t).Services["prometheus"]
	for _, file := range append(p.RuleFiles, "prometheus.yml") {
		if !slices.Contains(s.Volumes, "./config/"+file+":/etc/prometheus/"+file+":ro") {
			t.Errorf("the container does not have %s: %v", file, s.Volumes)
		}
	}
	if !slices.Contains(s.Command, "--config.file=/etc/prometheus/prometheus.yml") {
		t.Errorf("Prometheus is started with another configuration: %v", s.Command)
	}
}

// alerts is alerts.yml.
type alerts struct {
	Groups []struct {
		Name  string  `yaml:"name"`
		Rules []alert `yaml:"rules"`
	} `yaml:"groups"`
}

type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func TestAlertsUseMetricsThatExist(t *testing.T) {
	tested := read(t, "config/alerts_test.yml")
	used := ""
	for _, group := range decode[alerts](t, "config/alerts.yml").Groups {
		for _, rule := range group.Rules {
			for _, problem := range problems(rule.Expr) {
				t.Errorf("%s: %s", rule.Alert, problem)
			}
			if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" || rule.Labels["severity"] == "" {
				t.Errorf("%s needs a summary, a description and a severity", rule.Alert)
			}
			if strings.Count(tested, rule.Alert) < 2 {
				t.Errorf("alerts_test.yml shows %s not both firing and silent", rule.Alert)
			}
			used += rule.Expr
		}
	}
	for _, name := range []string{
		"walpurge_behind_seconds", "walpurge_epochs_total", "walpurge_slot_retained_bytes", "walpurge_requests_total", "walpurge_audit_total",
	} {
		if !strings.Contains(used, name) {
			t.Errorf("no alert looks at %s", name)
		}
	}
}
