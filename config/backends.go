package config

import (
	"errors"
	"strings"
	"time"

	"walpurge/internal/conninfo"
	"walpurge/internal/identifier"
	"walpurge/internal/redisclient"
)

const (
	defaultName      = "walpurge"
	defaultReadAhead = 100 * time.Millisecond
)

func (d *decoder) postgres(n *node) {
	p := &Postgres{Slot: defaultName, Publication: defaultName, ReadAhead: defaultReadAhead}
	d.config.Postgres = p
	given := d.fields(n, "postgres", []field{
		{"url", func(n *node) { d.postgresURL(n, p) }},
		{"slot", func(n *node) {
			text, ok := d.text(n, "postgres.slot")
			switch {
			case !ok:
			case !slotName.MatchString(text):
				d.fail(n.pos, "postgres.slot: %s can't name a slot; use 1 to 63 of a-z, 0-9 and _", n.show())
			default:
				p.Slot = text
			}
		}},
		{"publication", func(n *node) {
			text, ok := d.text(n, "postgres.publication")
			switch {
			case !ok:
			case len(text) > identifier.MaxBytes || strings.ContainsRune(text, 0):
				d.fail(n.pos, "postgres.publication: %s can't name a publication; use at most %d bytes", n.show(), identifier.MaxBytes)
			default:
				p.Publication = text
			}
		}},
		{"read_ahead", func(n *node) { d.duration(n, "postgres.read_ahead", &p.ReadAhead, 0, maxLag) }},
		{"watch", func(n *node) {
			d.list(n, "postgres.watch", "a list of tables such as [{table: agents, columns: [id]}]", func(item *node) {
				dep, ok := d.dependency(item)
				if len(dep.Where) > 0 {
					d.fail(dep.Where[0].Pos, "postgres.watch knows no conditions, each response has its own; list the columns that they narrow by")
				}
				if ok {
					p.Watch = append(p.Watch, dep)
				}
			})
		}},
	})
	if _, ok := given["url"]; !ok && n.kind == mapping {
		d.fail(n.pos, "postgres.url is missing; add url: %s", conninfo.Example)
	}
}

// The URL is never part of a message: it may hold a password, most likely so when it doesn't parse.
func (d *decoder) postgresURL(n *node, p *Postgres) {
	text, ok := d.text(n, "postgres.url")
	if !ok {
		return
	}
	if err := conninfo.Check(text); err != nil {
		d.fail(n.pos, "%s", said(err, "postgres.url"))
		return
	}
	p.URL = Secret(text)
}

// said is what is wrong with the connection string that stands under key.
func said(err error, key string) string {
	var wrong interface{ Of(name string) string }
	if errors.As(err, &wrong) {
		return wrong.Of(key)
	}
	return key + " can't be read"
}

func (d *decoder) redis(n *node) {
	r := &Redis{Namespace: defaultName}
	d.config.Redis = r
	given := d.fields(n, "redis", []field{
		{"url", func(n *node) { d.redisURL(n, r) }},
		{"namespace", func(n *node) {
			text, ok := d.text(n, "redis.namespace")
			switch {
			case !ok:
			case !namespaceName.MatchString(text):
				d.fail(n.pos, "redis.namespace: %s can't be a prefix of keys; use 1 to 64 letters, digits and _.:-", n.show())
			default:
				r.Namespace = text
			}
		}},
	})
	if _, ok := given["url"]; !ok && n.kind == mapping {
		d.fail(n.pos, "redis.url is missing; add url: redis://127.0.0.1:6379/0")
	}
}

// The URL is never part of a message, as that of postgres.
func (d *decoder) redisURL(n *node, r *Redis) {
	text, ok := d.text(n, "redis.url")
	if !ok {
		return
	}
	if err := redisclient.Check(text); err != nil {
		d.fail(n.pos, "%s", said(err, "redis.url"))
		return
	}
	r.URL = Secret(text)
}
