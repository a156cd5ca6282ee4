package catalogue

import (
	"errors"
	"testing"

	"walpurge/dev/testbed"
)

// Somebody may give the table an identity between the look and the statement: then
// it stays in the publication.
func TestWritesThatFailAreNotMendedTwice(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile, published string
		want                 error
	}{
		"still without": {"SELECT", "0", nil},
		"a primary key": {"ALTER TABLE keyless ADD PRIMARY KEY (id)", "1", errMended},
		"full":          {"ALTER TABLE keyless1 REPLICA IDENTITY FULL; ALTER TABLE keyless2 REPLICA IDENTITY FULL", "1", errMended},
		"one partition": {"ALTER TABLE keyless1 REPLICA IDENTITY FULL", "0", nil},
	} {
		t.Run(name, func(t *testing.T) {
			url := testbed.Database(t)
			c := newDB(t, url)
			c.exec("CREATE TABLE keyless (id int) PARTITION BY LIST (id)", "CREATE TABLE keyless1 PARTITION OF keyless FOR VALUES IN (1)",
				"CREATE TABLE keyless2 PARTITION OF keyless FOR VALUES IN (2)", "CREATE PUBLICATION walpurge FOR TABLE keyless WITH (publish_via_partition_root = true)")
			cfg := scope(t, url, Watch{Table: "public.keyless"})
			ins, err := cfg.InspectOn(t.Context(), c.conn)
			if err != nil {
				t.Fatal(err)
			}
			r := &ins.Catalogue.relations[0]
			if !ins.failsWrites(r) {
				t.Fatal("its writes don't fail")
			}
			c.exec(test.meanwhile)
			if err := new(Mender).withdraw(t.Context(), c.conn, r, "ALTER PUBLICATION walpurge DROP TABLE keyless"); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if n := c.text("SELECT count(*) FROM pg_publication_rel"); n != test.published {
				t.Errorf("%s tables are published, want %s", n, test.published)
			}
		})
	}
}
