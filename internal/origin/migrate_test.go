package origin

import (
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"walpurge/dev/testbed"
)

func TestMigrateTwiceAppliesOnce(t *testing.T) {
	conn := connect(t, testbed.Database(t))
	all, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{len(all), 0} {
		version, applied, err := Migrate(t.Context(), conn)
		if err != nil || applied != want || version != len(all) {
			t.Errorf("version %d, applied %d, %v; want %d and %d", version, applied, err, len(all), want)
		}
	}
	var locks int
	if err := conn.QueryRow(t.Context(), "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()").Scan(&locks); err != nil || locks != 0 {
		t.Errorf("%d advisory locks left, %v", locks, err)
	}
}

func TestConcurrentMigrationsTakeTurns(t *testing.T) {
	url := testbed.Database(t)
	var group errgroup.Group
	applied := make([]int, 8)
	for i := range applied {
		conn := connect(t, url)
		group.Go(func() (err error) {
			_, applied[i], err = Migrate(t.Context(), conn)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, n := range applied {
		total += n
	}
	if all, _ := migrations(); total != len(all) {
		t.Errorf("applied %v, want %d altogether", applied, len(all))
	}
}

func TestWrongSchemaVersionIsRefusedWithTheMend(t *testing.T) {
	url := testbed.Database(t)
	_, err := Open(t.Context(), url)
	if err == nil || !strings.Contains(err.Error(), "run: origin migrate") {
		t.Errorf("empty database: %v", err)
	}
	conn := connect(t, url)
	if _, _, err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "insert into schema_migrations (version, name) values (99, 'from the future')"); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), url)
	if err == nil || !strings.Contains(err.Error(), "use a newer origin") {
		t.Errorf("newer database, open: %v", err)
	}
	if _, _, err := Migrate(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "use a newer origin") {
		t.Errorf("newer database, migrate: %v", err)
	}
}

func TestIdsMayBeGiven(t *testing.T) {
	conn, _ := database(t, 0)
	_, err := conn.Exec(t.Context(), `insert into listings (id, title, price, city, property_type)
		values (4711, 'given', 1, 'Lagos', 'house')`)
	if err != nil {
		t.Error(err)
	}
}
