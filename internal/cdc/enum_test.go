package cdc

import (
	"testing"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

func TestRenamedEnumLabelIsUnknown(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec("CREATE TYPE mood AS ENUM ('sad', 'happy')", "CREATE DOMAIN feeling AS mood",
		"CREATE TABLE guests (id int PRIMARY KEY, mood feeling)", "ALTER TABLE guests REPLICA IDENTITY FULL")
	r := listen(t, config(t, url, Watch{Table: "public.guests", Columns: []string{"id", "mood"}, Conditions: []string{"id", "mood"}}))
	r.expect(sql("INSERT INTO guests VALUES (1, 'sad')"), "insert guests: id=1 mood=sad")
	r.exec("ALTER TYPE mood ADD VALUE 'calm'")
	r.afterwards()
	r.expect(sql("INSERT INTO guests VALUES (2, 'calm')"), "insert guests: id=2 mood=calm")
	r.exec("ALTER TYPE mood RENAME VALUE 'sad' TO 'gloomy'")
	r.afterwards()
	// A request for 'sad' is now one that PostgreSQL refuses, and the guard doesn't know.
	r.expect(sql("INSERT INTO guests VALUES (3, 'gloomy')"), "insert guests: id=3 mood=?")
}

func TestRequestForNoLabelOfAnEnumIsNoCondition(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec("CREATE TYPE mood AS ENUM ('sad', 'happy')", "CREATE TABLE guests (id int PRIMARY KEY, mood mood)")
	r := listen(t, config(t, url, Watch{Table: "public.guests", Columns: []string{"id", "mood"}, Conditions: []string{"id", "mood"}}))
	r.caughtUp()
	open := func(mood string) *page {
		p := &page{handle: new(coherence.Handle)}
		p.deps = r.guard.Bind(&coherence.Template{Equal: []coherence.Equal{{Column: 1}}},
			[]coherence.Operand{{Present: true, Values: []string{mood}}}, nil)
		if !r.guard.Open(p.handle, p, p.deps) || !r.guard.Admit(p.handle, p) {
			t.Fatal("the page can't be stored")
		}
		return p
	}
	sad, happy, furious := open("sad"), open("happy"), open("furious")
	r.exec("INSERT INTO guests VALUES (1, 'sad')")
	r.caughtUp()
	if sad.handle.Live() || !happy.handle.Live() || furious.handle.Live() {
		t.Errorf("live are sad %t, happy %t, furious %t; want only happy", sad.handle.Live(), happy.handle.Live(), furious.handle.Live())
	}
}
