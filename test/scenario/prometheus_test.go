package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// prometheusServer is a Prometheus of the test's own. It takes the
// project's prometheus.yml and alerts.yml and scrapes the given admin ports.
type prometheusServer struct {
	t    *testing.T
	url  string
	said bytes.Buffer // read after done
	done chan error
}

func startPrometheus(t *testing.T, targets ...string) *prometheusServer {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("prometheus is not in PATH: `make test` installs it")
	}
	dir := t.TempDir()
	rules, err := os.ReadFile("../../config/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "alerts.yml"), rules, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, scrapeFast(t, targets), 0o600); err != nil {
		t.Fatal(err)
	}
	// A port that is free now may be taken a moment later.
	for range 3 {
		p := &prometheusServer{t: t, url: "http://" + testbed.FreeAddress(t), done: make(chan error, 1)}
		command := exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(t.TempDir(), "data"),
			"--web.listen-address="+strings.TrimPrefix(p.url, "http://"), "--log.level=warn")
		command.Stdout, command.Stderr = &p.said, &p.said
		// Ctrl-C reaches the test alone, which then ends it.
		command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := command.Start(); err != nil {
			t.Fatalf("start Prometheus: %v", err)
		}
		go func() { p.done <- command.Wait(); close(p.done) }()
		t.Cleanup(func() {
			_ = command.Process.Signal(syscall.SIGTERM)
			select {
			case <-p.done:
			case <-time.After(20 * time.Second):
				_ = command.Process.Kill()
				<-p.done
			}
		})
		if p.ready() {
			return p
		}
		t.Logf("Prometheus has ended: %s", p.said.String())
	}
	t.Fatal("Prometheus does not start")
	return nil
}

// scrapeFast is prometheus.yml with the test's targets, every quarter of a second.
func scrapeFast(t *testing.T, targets []string) []byte {
	t.Helper()
	text, err := os.ReadFile("../../config/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	c["global"] = map[string]any{"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"}
	for _, job := range c["scrape_configs"].([]any) {
		job.(map[string]any)["static_configs"] = []any{map[string]any{"targets": targets}}
	}
	if text, err = yaml.Marshal(c); err != nil {
		t.Fatal(err)
	}
	return text
}

// ready waits until it answers; false: it has ended.
func (p *prometheusServer) ready() bool {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for {
		select {
		case <-p.done:
			return false
		case <-late:
			p.t.Fatal("Prometheus is not ready after a minute")
		case <-tick.C:
		}
		if resp, err := http.Get(p.url + "/-/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return true
			}
		}
	}
}

// ask decodes the data of an answer of Prometheus's API.
func (p *prometheusServer) ask(path string, data any) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Status   string
		Error    string
		Warnings []string
		Data     any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" || len(answer.Warnings) > 0 {
		return fmt.Errorf("%s: %s %v", answer.Status, answer.Error, answer.Warnings)
	}
	return nil
}

// numbers tells whether an expression has a value that is a finite number.
func (p *prometheusServer) numbers(expression string) (bool, error) {
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := p.ask("/api/v1/query?query="+url.QueryEscape(expression), &data); err != nil {
		return false, err
	}
	return slices.ContainsFunc(data.Result, func(r struct{ Value [2]any }) bool {
		v, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		return err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
	}), nil
}

// panelExpressions are the queries of the Grafana dashboard by the titles of
// their panels, as Grafana would send them at this scrape interval.
func panelExpressions(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../config/grafana/dashboards/walpurge.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*")
	all := make(map[string][]string)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[p.Title] = append(all[p.Title], variables.Replace(target.Expr))
		}
	}
	return all
}

// TestPrometheusAnswersEveryPanelAndAlert: a real Prometheus scrapes a
// proxy, takes the alert rules and answers what the dashboard asks.
func TestPrometheusAnswersEveryPanelAndAlert(t *testing.T) {
	r := rig.New(t, rig.Options{Redis: testbed.SharedRedis(t), Extra: "audit: 1\n"})
	r.Insert(1, "Quiet house by the lagoon", "Lagos", "house", 3, "100")
	r.CaughtUp()
	p := startPrometheus(t, strings.TrimPrefix(r.Admin, "http://"))

	traffic := 0
	work := func() {
		traffic++
		for _, path := range []string{"/api/listings/1", "/api/listings/1", "/api/listings?city=Lagos", "/api/listings/2"} {
			r.Get(path)
		}
		r.Exec(`update listings set price = $1 where id = 1`, 100+traffic)
	}
	// What a proxy in good health has none of.
	quiet := []string{"Fills not kept"}
	panels := panelExpressions(t)
	if len(panels) < 15 {
		t.Fatalf("found %d panels with queries", len(panels))
	}
	var used []string
	names := regexp.MustCompile(`\bwalpurge_[a-z_]+`)
	for title, expressions := range panels {
		for _, e := range expressions {
			used = append(used, names.FindAllString(e, -1)...)
			r.Eventually(title+" has numbers: "+e, func() bool {
				ok, err := p.numbers(e)
				if err != nil {
					t.Fatalf("%s: %s: %v", title, e, err)
				}
				if !ok && slices.Contains(quiet, title) {
					return true
				}
				if !ok {
					work()
				}
				return ok
			})
		}
	}

	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Query, Health, LastError string }
		}
	}
	r.Eventually("every rule has been evaluated", func() bool {
		if err := p.ask("/api/v1/rules", &rules); err != nil {
			t.Fatal(err)
		}
		for _, g := range rules.Groups {
			for _, rule := range g.Rules {
				if rule.Health == "err" {
					t.Fatalf("%s: %s", rule.Name, rule.LastError)
				}
				if rule.Health != "ok" {
					return false
				}
			}
		}
		return len(rules.Groups) > 0
	})
	for _, g := range rules.Groups {
		for _, rule := range g.Rules {
			if _, err := p.numbers(rule.Query); err != nil {
				t.Errorf("%s: %s: %v", rule.Name, rule.Query, err)
			}
			used = append(used, names.FindAllString(rule.Query, -1)...)
		}
	}
	// An alert is silent on a metric that isn't there, too.
	slices.Sort(used)
	for _, name := range slices.Compact(used) {
		if name == "walpurge_fills_discarded_total" {
			continue
		}
		if ok, err := p.numbers(name); !ok || err != nil {
			t.Errorf("there is nothing of %s (%v)", name, err)
		}
	}
}
