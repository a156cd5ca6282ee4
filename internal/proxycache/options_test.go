package proxycache

import (
	"testing"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/route"
)

func TestOptionsAreChecked(t *testing.T) {
	guard, _ := coherence.New(coherence.Config{Tables: testTables})
	base := func() Options {
		r := newRig(t, nil)
		o := r.proxy.opt
		o.Guard = guard
		return o
	}
	for name, change := range map[string]func(*Options){
		"no origin":                     func(o *Options) { o.Origin.URL = nil },
		"no clock":                      func(o *Options) { o.Now = nil },
		"dependencies without database": func(o *Options) { o.Guard = nil },
		"routes that tie":               func(o *Options) { o.Routes = append(o.Routes, route.Declaration{Pattern: "/api/listings/{other}"}) },
		"values don't fit":              func(o *Options) { o.Routes[0].Depends[0].Equal = nil },
	} {
		o := base()
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
