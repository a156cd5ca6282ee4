package proxycache

import (
	"runtime/debug"
	"time"
)

// Ready tells whether the proxy can do what it is for, and if not, why.
func (p *Proxy) Ready() (bool, string) {
	if p.opt.Guard == nil {
		return true, "ready"
	}
	switch {
	case p.opt.Guard.Epoch() == 0:
		return false, "not ready: the write-ahead log is not being read yet"
	case p.opt.Guard.Proven() == 0:
		return false, "not ready: there is no proof of freshness yet; requests go to the origin"
	}
	return true, "ready"
}

// Status is what the proxy has to say of itself in /status, by name. The caller
// may add to it.
func (p *Proxy) Status() map[string]any {
	ready, why := p.Ready()
	flying, joined := p.fills.Flights.Count()
	s := map[string]any{
		"version":     version(),
		"uptime":      time.Since(p.started).Round(time.Second).String(),
		"ready":       ready,
		"readiness":   why,
		"origin":      p.upstream.Name(),
		"connections": p.clients.Connections(),
		"memory": map[string]any{
			"bytes": p.memory.Bytes(), "limit": p.opt.Memory, "entries": p.memory.Entries(),
		},
		"fills_in_flight": flying,
		"fills_joined":    joined,
	}
	if p.redis != nil {
		s["redis"] = p.redis.Status()
	}
	if g := p.opt.Guard; g != nil {
		guard := map[string]any{
			"epoch": g.Epoch().String(), "applied": g.Applied().String(), "watermark": g.Watermark().String(), "handles": g.Handles(),
		}
		if proven := g.Proven(); proven != 0 {
			guard["behind_seconds"] = time.Duration(p.opt.Now() - proven).Seconds()
		}
		s["guard"] = guard
	}
	declared := p.routing.Load().Routes
	routes := make([]string, len(declared))
	for i, rt := range declared {
		routes[i] = rt.Pattern
	}
	s["routes"] = routes
	s["top_routes"], s["top_keys"] = p.topRoutes(topShown), p.top.list(topShown)
	return s
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
