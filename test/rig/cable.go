package rig

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"walpurge/dev/testbed"
)

// Cable is the way to a server. A test can cut it, slow it down, and lead it
// to another server.
type Cable struct {
	t     testing.TB
	proxy *toxiproxy.Proxy
}

// NewCable returns a cable and the server's URL through it.
func NewCable(t testing.TB, server string) (*Cable, string) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(api, t.Name(), testbed.FreeAddress(t), u.Host)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	u.Host = p.Listen
	return &Cable{t, p}, u.String()
}

// Cut closes all connections and refuses new ones, until mend.
func (c *Cable) Cut() { c.proxy.Stop() }

// Mend lets connections through again after Cut.
func (c *Cable) Mend() {
	c.t.Helper()
	if err := c.proxy.Start(); err != nil {
		c.t.Fatal(err)
	}
}

// Lead closes all connections; new ones reach another server.
func (c *Cable) Lead(server string) {
	c.t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.proxy.Update(&toxiproxy.Proxy{Listen: c.proxy.Listen, Upstream: u.Host, Enabled: true}); err != nil {
		c.t.Fatal(err)
	}
}

// Stall keeps connections open and lets nothing through, until Flow.
func (c *Cable) Stall() { c.poison("timeout", `"timeout":0`) }

// Slow delays what goes either way, until Flow.
func (c *Cable) Slow(delay, jitter time.Duration) {
	c.poison("latency", fmt.Sprintf(`"latency":%d,"jitter":%d`, delay.Milliseconds(), jitter.Milliseconds()))
}

// Narrow lets so many kilobytes a second through each way of a connection, until Flow.
func (c *Cable) Narrow(rate int) { c.poison("bandwidth", fmt.Sprintf(`"rate":%d`, rate)) }

func (c *Cable) poison(kind, attributes string) {
	c.t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		toxic := fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"attributes":{%s}}`, stream, kind, stream, attributes)
		if _, err := c.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			c.t.Fatal(err)
		}
	}
}

// Flow ends what Stall, Slow and Narrow do.
func (c *Cable) Flow() {
	c.t.Helper()
	c.proxy.Toxics.ResetToxics(c.t.Context())
}
