package cdc

import (
	"slices"
	"strings"
	"testing"

	"walpurge/dev/testbed"
)

// writes makes sure that the application can write.
func (c *client) writes(table string) {
	c.t.Helper()
	c.exec("INSERT INTO "+table+" (id, city) VALUES (1, 'x'), (2, 'x')", "UPDATE "+table+" SET city = 'y'", "DELETE FROM "+table+" WHERE id = 1")
}

// TestSetupBreaksNoWrites: replica identity FULL and a publication that lacks a
// column make the application's UPDATE and DELETE fail.
func TestSetupBreaksNoWrites(t *testing.T) {
	for _, test := range []struct {
		name   string
		since  int // major version
		create []string
		full   bool   // set by setup
		why    string // it isn't
	}{
		{"no other publication", 14, sql(`CREATE TABLE shop (id int PRIMARY KEY, city text)`), true, ""},
		{"all tables", 14, sql(`CREATE TABLE shop (id int PRIMARY KEY, city text)`, `CREATE PUBLICATION theirs FOR ALL TABLES`), true, ""},
		{"a column list", 15, sql(`CREATE TABLE shop (id int PRIMARY KEY, city text)`, `CREATE PUBLICATION theirs FOR TABLE shop (id)`), false, "publication theirs has a column list for it"},
		{"a column list of a partition", 15, sql(`CREATE TABLE shop (id int PRIMARY KEY, city text) PARTITION BY RANGE (id)`, `CREATE TABLE part PARTITION OF shop FOR VALUES FROM (0) TO (9)`, `CREATE PUBLICATION theirs FOR TABLE part (id)`), false, "publication theirs has a column list for it"},
		{"a column list for inserts", 15, sql(`CREATE TABLE shop (id int PRIMARY KEY, city text)`, `CREATE PUBLICATION theirs FOR TABLE shop (id) WITH (publish = 'insert')`), true, ""},
		{"a stored column", 14, sql(`CREATE TABLE shop (id int PRIMARY KEY, city text, size int GENERATED ALWAYS AS (length(city)) STORED)`), true, ""},
		{"a stored column, all tables", 18, sql(`CREATE TABLE shop (id int PRIMARY KEY, city text, size int GENERATED ALWAYS AS (length(city)) STORED)`, `CREATE PUBLICATION theirs FOR ALL TABLES`), false, "publication theirs doesn't publish its generated columns"},
		{"a stored column, its schema", 18, sql(`CREATE TABLE shop (id int PRIMARY KEY, city text, size int GENERATED ALWAYS AS (length(city)) STORED)`, `CREATE PUBLICATION theirs FOR TABLES IN SCHEMA public`), false, "publication theirs doesn't publish its generated columns"},
		{"a stored column that is published", 18, sql(`CREATE TABLE shop (id int PRIMARY KEY, city text, size int GENERATED ALWAYS AS (length(city)) STORED)`, `CREATE PUBLICATION theirs FOR ALL TABLES WITH (publish_generated_columns = stored)`), true, ""},
		{"a virtual column", 18, sql(`CREATE TABLE shop (id int PRIMARY KEY, city text, size int GENERATED ALWAYS AS (length(city)))`), false, "it has a virtual generated column"},
	} {
		if !since(t, test.since) {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			url := testbed.Database(t)
			c := newClient(t, url)
			c.exec(test.create...)
			cfg := config(t, url, Watch{Table: "public.shop", Columns: []string{"city"}, Conditions: []string{"city"}})
			done, err := Setup(t.Context(), cfg, false)
			if err != nil {
				t.Fatal(err)
			}
			if got := slices.Contains(done, "ALTER TABLE public.shop REPLICA IDENTITY FULL"); got != test.full {
				t.Errorf("setup did %q", done)
			}
			c.writes("shop")
			catalogue, err := Inspect(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if coarse := catalogue.Coarse; len(coarse) > 0 == test.full || !test.full && !strings.Contains(coarse[0].Mend, test.why) {
				t.Errorf("coarse: %+v", coarse)
			}
			if again, err := Setup(t.Context(), cfg, false); err != nil || len(again) > 0 {
				t.Errorf("the second time it did %q, %v", again, err)
			}
		})
	}
}

// TestKeylessTableThatFullWouldBreak has no replica identity that works.
func TestKeylessTableThatFullWouldBreak(t *testing.T) {
	if !since(t, 15) {
		return
	}
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE shop (id int, city text)`, `CREATE PUBLICATION theirs FOR TABLE shop (id)`)
	cfg := config(t, url, Watch{Table: "public.shop", Columns: []string{"city"}})
	want := "table public.shop has no primary key that it could use: once it is published, UPDATE and DELETE on it fail; give it a primary key (with REPLICA IDENTITY FULL they would fail too, since publication theirs has a column list for it)"
	if _, err := Setup(t.Context(), cfg, false); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("setup: %v", err)
	}
	if got := refused(t, cfg); !slices.Contains(got, want) {
		t.Errorf("refused %q", got)
	}
}

// TestGeneratedColumnsInTheIdentity: a table whose writes fail already, or will.
func TestGeneratedColumnsInTheIdentity(t *testing.T) {
	if !since(t, 18) {
		return
	}
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE shop (id int PRIMARY KEY, city text, size int GENERATED ALWAYS AS (length(city)) STORED)`, `ALTER TABLE shop REPLICA IDENTITY FULL`,
		`CREATE TABLE keyed (id int, city text, k int GENERATED ALWAYS AS (id + 1) STORED PRIMARY KEY)`,
		`CREATE TABLE computed (id int PRIMARY KEY, city text, size int GENERATED ALWAYS AS (length(city)))`, `ALTER TABLE computed REPLICA IDENTITY FULL`,
		`CREATE PUBLICATION walpurge FOR TABLE shop, keyed`)
	cfg := config(t, url, Watch{Table: "public.shop", Columns: []string{"city"}}, Watch{Table: "public.keyed", Columns: []string{"k"}})
	const fails = "publication walpurge doesn't publish generated columns, and the replica identity of table public.%s has one: UPDATE and DELETE on it fail; run `proxy setup -config FILE`"
	if got := refused(t, cfg); !slices.Equal(got[:2], []string{strings.Replace(fails, "%s", "shop", 1), strings.Replace(fails, "%s", "keyed", 1)}) {
		t.Errorf("refused %q", got)
	}
	if _, err := Setup(t.Context(), cfg, false); err != nil {
		t.Fatal(err)
	}
	c.writes("shop")
	c.writes("keyed")
	cfg.Watches = append(cfg.Watches, Watch{Table: "public.computed", Columns: []string{"city"}})
	const virtual = "table public.computed has REPLICA IDENTITY FULL and a virtual generated column: once it is published, UPDATE and DELETE on it fail; ALTER TABLE public.computed REPLICA IDENTITY DEFAULT, with a primary key"
	if _, err := Setup(t.Context(), cfg, false); err == nil || !strings.Contains(err.Error(), virtual) {
		t.Errorf("setup: %v", err)
	}
	c.exec(`ALTER TABLE computed REPLICA IDENTITY DEFAULT`)
	if _, err := Setup(t.Context(), cfg, false); err != nil {
		t.Fatal(err)
	}
	c.writes("computed")
}
