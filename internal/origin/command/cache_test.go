package command

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
)

// asked reads a page and says how its one named query was answered.
func asked(t *testing.T, site, path string) (result, body string) {
	t.Helper()
	counters := func() map[string]string {
		all := map[string]string{}
		for _, found := range regexp.MustCompile(`(?m)^origin_query_cache_requests_total\{query="\w+",result="(\w+)"\} (\d+)`).FindAllStringSubmatch(read(t, site+"/metrics"), -1) {
			all[found[1]] += "," + found[2]
		}
		return all
	}
	before := counters()
	body = read(t, site+path)
	for name, count := range counters() {
		if count != before[name] {
			result += name
		}
	}
	return result, body
}

// An agent's new name ends the results that show the agent, by a join, and no
// others.
func TestResultsEndWithTheAgentsTheyShow(t *testing.T) {
	url := testbed.Database(t)
	if out, err := program(t, url, "migrate").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	exec := func(sql string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`alter table listings replica identity full`) // else any change of a listing counts for every city
	exec(`alter table agents replica identity full`)   // else any change of an agent counts as one of the name
	exec(`insert into agents (id, name, phone) values (1, 'Ada', '1'), (2, 'Ben', '2')`)
	exec(`insert into listings (id, title, price, city, property_type, agent_id) values
		(1, 'a', 1, 'Lagos', 'house', 1), (2, 'b', 2, 'Kano', 'house', 2), (3, 'c', 3, 'Accra', 'house', null)`)
	const slot = "shown_agents"
	site := served(t, url, "-redis", testbed.SharedRedis(t), "-redis-namespace", slot, "-slot", slot)

	// until reads a page until it comes from the cache and has the text.
	until := func(path, text string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; {
			result, body := asked(t, site, path)
			if result == "hit" && strings.Contains(body, text) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s, %s", path, result, body)
			}
		}
	}
	// still wants the next answer from the cache. A moment without a proof of
	// freshness says nothing.
	still := func(path, text string) {
		t.Helper()
		result, body := asked(t, site, path)
		for deadline := time.Now().Add(time.Minute); result == "unproven" && time.Now().Before(deadline); {
			result, body = asked(t, site, path)
		}
		if result != "hit" || !strings.Contains(body, text) {
			t.Errorf("%s: %s, want a hit with %s: %s", path, result, text, body)
		}
	}
	const everything, lagos, kano, accra = "/api/listings", "/api/listings?city=Lagos", "/api/listings?city=Kano", "/api/listings?city=Accra"
	const one, two, three, front = "/api/listings/1", "/api/listings/2", "/api/listings/3", "/"
	for _, path := range []string{everything, lagos, kano, accra, one, two, three, front} {
		until(path, "")
	}

	exec(`update agents set name = 'Bea' where id = 2`)
	for _, path := range []string{kano, everything, two, front} {
		until(path, "Bea")
	}
	still(lagos, "Ada")
	still(one, "Ada")
	still(accra, `"agent":null`)
	still(three, `"agent":null`)

	exec(`update agents set phone = '22' where id = 2`) // which lists don't show
	until(two, `"22"`)
	still(kano, "Bea")
	still(one, "Ada")

	exec(`update listings set agent_id = 1 where id = 3`) // from now on it shows one
	until(three, "Ada")
	until(accra, "Ada")
	exec(`update agents set name = 'Ann' where id = 1`)
	for _, path := range []string{three, accra, lagos, one, everything, front} {
		until(path, "Ann")
	}
	still(kano, "Bea")
	still(two, "Bea")

	exec(`delete from agents where id = 2`)
	until(two, `"agent":null`)
	until(kano, `"agent":null`)
	still(lagos, "Ann")
}
