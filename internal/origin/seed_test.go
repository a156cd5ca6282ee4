package origin

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func checksum(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	var sum string
	err := conn.QueryRow(t.Context(), `select md5(
		(select string_agg(l::text, ';' order by id) from listings l) || (select string_agg(a::text, ';' order by id) from agents a))`).Scan(&sum)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestSeedIsDeterministic(t *testing.T) {
	first, _ := database(t, 2000)
	second, _ := database(t, 2000)
	want := checksum(t, first)
	if got := checksum(t, second); got != want {
		t.Errorf("two seeds differ: %s and %s", want, got)
	}
	if _, err := first.Exec(t.Context(), "update listings set price = price + 1 where id = 7"); err != nil {
		t.Fatal(err)
	}
	if checksum(t, first) == want {
		t.Error("the checksum doesn't notice a change")
	}
	if _, err := Seed(t.Context(), first, SeedOptions{Listings: 2000, Reset: true}); err != nil {
		t.Fatal(err)
	}
	if got := checksum(t, first); got != want {
		t.Errorf("a seed after -reset differs: %s and %s", want, got)
	}
}

func TestSeedRefusesFilledTables(t *testing.T) {
	conn, _ := database(t, 100)
	want := checksum(t, conn)
	_, err := Seed(t.Context(), conn, SeedOptions{Listings: 100})
	if err == nil || !strings.Contains(err.Error(), "-reset") {
		t.Errorf("got %v", err)
	}
	if got := checksum(t, conn); got != want {
		t.Error("the refused seed changed the tables")
	}
	for _, n := range []int{0, -1, MaxListings + 1} {
		if _, err := Seed(t.Context(), conn, SeedOptions{Listings: n, Reset: true}); err == nil {
			t.Errorf("%d listings were accepted", n)
		}
	}
}

func TestSeedLeavesWhatTheServiceExpects(t *testing.T) {
	conn, _ := database(t, 5000)
	var listings, agents, cities, kinds, orphans, ties int
	var lagos, accra bool
	err := conn.QueryRow(t.Context(), `select count(*), (select count(*) from agents), count(distinct city),
		count(distinct property_type), count(*) filter (where agent_id is null), count(*) - count(distinct created_at),
		bool_or(city = 'Lagos'), bool_or(city = 'Accra')
		from listings`).Scan(&listings, &agents, &cities, &kinds, &orphans, &ties, &lagos, &accra)
	if err != nil {
		t.Fatal(err)
	}
	if listings != 5000 || agents != 50 || cities != 40 || kinds != len(PropertyTypes) || orphans != 0 || !lagos || !accra {
		t.Errorf("%d listings, %d agents, %d cities, %d types, %d without agent, Lagos %t, Accra %t",
			listings, agents, cities, kinds, orphans, lagos, accra)
	}
	if ties == 0 {
		t.Error("no two listings were made in the same minute; paging over ties goes untested")
	}
	// The next row inserted without an id must not collide.
	var next, nextAgent int64
	err = conn.QueryRow(t.Context(), `insert into listings (title, price, city, property_type) values ('t', 1, 'c', 'house') returning id`).Scan(&next)
	if err != nil || next != 5001 {
		t.Errorf("next listing is %d, %v", next, err)
	}
	err = conn.QueryRow(t.Context(), `insert into agents (name) values ('n') returning id`).Scan(&nextAgent)
	if err != nil || nextAgent != 51 {
		t.Errorf("next agent is %d, %v", nextAgent, err)
	}
}
