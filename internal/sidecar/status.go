package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"walpurge/config"
)

// statusFlags are those of the command status.
type statusFlags struct {
	admin string
	every time.Duration
	once  bool
	check bool
	ready bool
}

// defaultAdmin is where a proxy listens for administrators unless it is told
// otherwise.
const defaultAdmin = "127.0.0.1:8081"

func statusFlag(c *command) {
	configFlag(c)
	c.jsonFlag()
	c.StringVar(&c.status.admin, "admin", "", "the admin `ADDRESS` to ask, HOST:PORT or unix:/path (default: that of the configuration, else "+defaultAdmin+")")
	c.DurationVar(&c.status.every, "every", time.Second, "how often the live view asks")
	c.BoolVar(&c.status.once, "once", false, "answer once, on a terminal too")
	c.BoolVar(&c.status.check, "check", false, "print nothing but what is wrong; the exit status tells whether the proxy answers")
	c.BoolVar(&c.status.ready, "ready", false, "with -check: and whether it can prove that what it serves is fresh")
}

// statusTimeout bounds one question to the admin port.
const statusTimeout = 5 * time.Second

// showStatus asks a running proxy what it does.
func showStatus(ctx context.Context, c *command) error {
	a, err := c.adminPort()
	if err != nil {
		return err
	}
	switch {
	case c.status.check:
		return a.check(ctx, c.status.ready)
	case c.json:
		r, err := a.report(ctx)
		if err != nil {
			return err
		}
		return c.printJSON(r)
	case c.status.once || terminal(c.stdout) == nil:
		r, err := a.report(ctx)
		if err != nil {
			return err
		}
		_, err = io.WriteString(c.stdout, r.text(newPalette(c.stdout), nil))
		return err
	}
	return watchStatus(ctx, c, a)
}

// adminPort finds the port to ask.
func (c *command) adminPort() (*adminClient, error) {
	if err := c.parse(); err != nil {
		return nil, err
	}
	if err := c.noArguments(); err != nil {
		return nil, err
	}
	switch {
	case c.status.every < 100*time.Millisecond:
		return nil, usageError{errors.New("-every is too short; the least is 100ms")}
	case c.status.ready && !c.status.check:
		return nil, usageError{errors.New("-ready goes with -check; give both")}
	case c.status.admin != "":
		return newAdminClient(c.status.admin)
	case c.file == "":
		return newAdminClient(defaultAdmin)
	}
	var err error
	if c.config, err = config.Load(c.file, os.LookupEnv); err != nil {
		return nil, err
	}
	return newAdminClient(c.config.Admin.String())
}

// adminClient asks a proxy's admin port.
type adminClient struct {
	address string
	client  *http.Client
}

func newAdminClient(address string) (*adminClient, error) {
	network, at := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, at = "unix", path
	} else {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, usageError{fmt.Errorf("-admin %q is no address; write HOST:PORT or unix:/path", address)}
		}
		// A port on all interfaces is asked on this machine's own.
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		at = net.JoinHostPort(host, port)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at)
	}}
	return &adminClient{address, &http.Client{Transport: transport, Timeout: statusTimeout}}, nil
}

// get asks for a path and returns its body. Another status than 200 is an error.
func (a *adminClient) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		var cause *net.OpError
		if errors.As(err, &cause) {
			err = cause
		}
		return nil, fmt.Errorf("ask the proxy at %s: %w; see that it runs, and name its admin port with -config or -admin", a.address, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s from %s: %w", path, a.address, err)
	case resp.StatusCode != http.StatusOK:
		text, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
		return nil, fmt.Errorf("%s at %s: %d %s", path, a.address, resp.StatusCode, text)
	}
	return body, nil
}

// check asks whether the proxy is well.
func (a *adminClient) check(ctx context.Context, ready bool) error {
	path := "/healthz"
	if ready {
		path = "/readyz"
	}
	_, err := a.get(ctx, path)
	return err
}

// reported is what a proxy says of itself.
type reported struct {
	Admin    string             `json:"admin"`
	At       time.Time          `json:"at"`
	Requests map[string]float64 `json:"requests"`            // by outcome, since the start
	Routes   map[string]float64 `json:"routes"`              // requests by route
	HitRatio *float64           `json:"hit_ratio,omitempty"` // of what may be cached
	Changes  float64            `json:"changes"`             // rows
	Purged   float64            `json:"purged"`              // responses dropped by them
	Epochs   map[string]float64 `json:"epochs,omitempty"`    // by reason
	Audit    map[string]float64 `json:"audit,omitempty"`     // by result
	Status   json.RawMessage    `json:"status"`              // as /status has it

	now facts
}

// facts is what the text shows of /status.
type facts struct {
	Version     string
	Uptime      string
	Ready       bool
	Readiness   string
	Origin      string
	Connections int
	Memory      struct {
		Bytes, Limit int64
		Entries      int
	}
	Fills int `json:"fills_in_flight"`
	Redis *redisFacts
	Guard *struct {
		Epoch, Watermark string
		Behind           *float64 `json:"behind_seconds"`
	}
	Database *struct {
		Role, State, Slot string
		Pending           int
		RetainedBytes     int64  `json:"retained_bytes"`
		WaitingFor        string `json:"waiting_for"`
		LastError         string `json:"last_error"`
		Connected         bool
	}
}

// redisFacts is what the text shows of Redis. What the servers say is of all that
// they hold.
type redisFacts struct {
	Reachable bool
	Written   int64 `json:"written_bytes"`
	Servers   []struct {
		Node  string
		Used  int64 `json:"used_bytes"`
		Limit int64 `json:"limit_bytes"`
		Keys  int64
	}
}

// report asks for everything.
func (a *adminClient) report(ctx context.Context) (*reported, error) {
	r := &reported{Admin: a.address, At: time.Now().Truncate(time.Millisecond)}
	status, err := a.get(ctx, "/status")
	if err != nil {
		return nil, err
	}
	metrics, err := a.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	r.Status = status
	if err := json.Unmarshal(status, &r.now); err != nil {
		return nil, fmt.Errorf("read /status of %s: %w; is this the admin port of a proxy?", a.address, err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(metrics)))
	if err != nil {
		return nil, fmt.Errorf("read /metrics of %s: %w; is this the admin port of a proxy?", a.address, err)
	}
	sum := func(name, label string) map[string]float64 {
		by := map[string]float64{}
		for _, m := range families[name].GetMetric() {
			if m.GetCounter().GetValue() == 0 {
				continue
			}
			value := ""
			for _, l := range m.GetLabel() {
				if l.GetName() == label {
					value = l.GetValue()
				}
			}
			by[value] += m.GetCounter().GetValue()
		}
		return by
	}
	r.Requests, r.Routes = sum("walpurge_requests_total", "outcome"), sum("walpurge_requests_total", "route")
	r.Changes, r.Purged = sum("walpurge_changes_total", "")[""], sum("walpurge_purged_entries_total", "")[""]
	r.Epochs, r.Audit = sum("walpurge_epochs_total", "reason"), sum("walpurge_audit_total", "result")
	r.HitRatio = ratio(r.Requests)
	return r, nil
}

// fromCache are the outcomes that spared the origin a request of its own.
var fromCache = map[string]bool{"hit": true, "stale": true, "revalidated": true, "collapsed": true}

// ratio is the share of requests that the cache answered, of those that it was
// asked for; nil before the first.
func ratio(requests map[string]float64) *float64 {
	var asked, answered float64
	for outcome, n := range requests {
		if outcome == "pass" {
			continue
		}
		asked += n
		if fromCache[outcome] {
			answered += n
		}
	}
	if asked == 0 {
		return nil
	}
	share := answered / asked
	return &share
}
