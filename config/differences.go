package config

import "slices"

// Differences lists the keys outside of the routes of which the value is not the same in other. What the routes take over
// (max_lag) isn't listed.
func (c *Config) Differences(other *Config) []string {
	var keys []string
	values := func(c *Config) map[string]string {
		bare := *c
		bare.fromEnv = nil // the values, wherever they come from
		m := map[string]string{}
		for _, s := range bare.settings() {
			m[s.key] += s.value + "\n" // some keys have several
		}
		m["admin_token"], m["position.secret"] = string(c.AdminToken), string(c.Position.Secret)
		if c.Position.Cookie == "" {
			delete(m, "position.max_age") // it is the cookie's, and may come from the routes
		}
		if c.Postgres != nil {
			m["postgres.url"] = string(c.Postgres.URL)
		}
		if c.Redis != nil {
			m["redis.url"] = string(c.Redis.URL)
		}
		delete(m, "max_lag")
		return m
	}
	mine, others := values(c), values(other)
	for key, value := range mine {
		if others[key] != value {
			keys = append(keys, key)
		}
	}
	for key := range others {
		if _, known := mine[key]; !known {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
