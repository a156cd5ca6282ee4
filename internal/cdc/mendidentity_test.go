package cdc

import (
	"strings"
	"testing"

	"walpurge/dev/testbed"
)

// Whatever takes a published table its replica identity makes UPDATE and DELETE
// of the application fail. That ends while the proxy runs, by what its role may do.
func TestWritesThatFailAreMended(t *testing.T) {
	events := []string{
		"CREATE TABLE ev (id int, day date, n text) PARTITION BY RANGE (day)", "ALTER TABLE ev REPLICA IDENTITY FULL",
		"CREATE TABLE ev1 PARTITION OF ev FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')", "ALTER TABLE ev1 REPLICA IDENTITY FULL",
		"CREATE TABLE keyed (id int, n text, CONSTRAINT keyed_pkey PRIMARY KEY (id))", "INSERT INTO keyed VALUES (1, 'a')",
		"CREATE UNIQUE INDEX keyed_n ON keyed (n)", "ALTER TABLE keyed ALTER n SET NOT NULL",
		"CREATE TABLE stray (id int, day date, n text)", "CREATE TABLE other (id int PRIMARY KEY)",
	}
	for name, test := range map[string]struct{ table, harm, write string }{
		"a new partition": {
			"ev", "CREATE TABLE ev2 PARTITION OF ev FOR VALUES FROM ('2026-02-01') TO ('2026-03-01'); INSERT INTO ev VALUES (1, '2026-02-02', 'a')",
			"UPDATE ev SET n = 'b' WHERE id = 1",
		},
		"a table that is attached": {
			"ev", "INSERT INTO stray VALUES (1, '2026-02-02', 'a'); ALTER TABLE ev ATTACH PARTITION stray FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
			"DELETE FROM ev WHERE id = 1",
		},
		"a primary key that is dropped": {"keyed", "ALTER TABLE keyed DROP CONSTRAINT keyed_pkey", "UPDATE keyed SET n = 'b'"},
		"nothing as its identity":       {"keyed", "ALTER TABLE keyed REPLICA IDENTITY NOTHING", "UPDATE keyed SET n = 'b'"},
		"an identity index that is dropped": {
			"keyed", "ALTER TABLE keyed REPLICA IDENTITY USING INDEX keyed_n; DROP INDEX keyed_n", "DELETE FROM keyed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testbed.Database(t)
			newClient(t, url).exec(events...)
			r := listen(t, config(t, url, Watch{Table: "public.ev"}, Watch{Table: "public.keyed"}, Watch{Table: "public.other"}))
			page, other := r.wholePage(test.table), r.wholePage("other")
			for _, s := range strings.SplitAfter(test.harm, "; ") {
				r.exec(s)
			}
			eventually(t, "the application's write works", func() bool {
				_, err := r.conn.PgConn().Exec(t.Context(), test.write).ReadAll()
				return err == nil
			})
			r.afterwards()
			if page.handle.Live() || !other.handle.Live() {
				t.Errorf("live are the table's page %t, another's %t", page.handle.Live(), other.handle.Live())
			}
			r.wholePage(test.table) // it is followed
			r.expectEpochs("start")
		})
	}
}

// A role that doesn't own the table takes it out of the publication, which it
// owns; one that may do neither says the statement, once.
func TestWritesThatFailAreMendedByWhoMay(t *testing.T) {
	for name, test := range map[string]struct {
		ownsPublication, works bool
		says                   string
	}{
		"who owns the publication": {true, true, "DROP TABLE"},
		"who owns nothing":         {false, false, "ALTER TABLE public.keyed REPLICA IDENTITY FULL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testbed.Database(t)
			owner := newClient(t, url)
			role := "mender_" + strings.Fields(name)[2]
			database := owner.text("SELECT quote_ident(current_database())")
			owner.exec("CREATE ROLE " + role + " LOGIN REPLICATION")
			t.Cleanup(func() {
				owner.exec("DROP PUBLICATION walpurge", "REVOKE ALL ON DATABASE "+database+" FROM "+role, "DROP ROLE "+role)
			})
			owner.exec("CREATE TABLE keyed (id int, n text, CONSTRAINT keyed_pkey PRIMARY KEY (id))", "INSERT INTO keyed VALUES (1, 'a')",
				"CREATE TABLE other (id int PRIMARY KEY)",
				"CREATE PUBLICATION walpurge FOR TABLE keyed, other WITH (publish_via_partition_root = true)")
			if test.ownsPublication {
				owner.exec("GRANT CREATE ON DATABASE "+database+" TO "+role, "ALTER PUBLICATION walpurge OWNER TO "+role)
			}
			r := listen(t, config(t, strings.Replace(url, "postgres@", role+"@", 1), Watch{Table: "public.keyed"}, Watch{Table: "public.other"}))
			page, other := r.wholePage("keyed"), r.wholePage("other")
			owner.exec("ALTER TABLE keyed DROP CONSTRAINT keyed_pkey")
			eventually(t, "it is said", func() bool {
				lost := r.listener.Status().Lost
				return len(lost) == 1 && lost[0].Table == "public.keyed"
			})
			if test.works {
				eventually(t, "the application's write works", func() bool {
					_, err := owner.conn.PgConn().Exec(t.Context(), "UPDATE keyed SET n = 'b'").ReadAll()
					return err == nil
				})
			}
			r.afterwards()
			if page.handle.Live() || !other.handle.Live() {
				t.Errorf("live are the table's page %t, another's %t", page.handle.Live(), other.handle.Live())
			}
			if why := r.listener.Status().Lost[0].Why; !strings.Contains(why, "UPDATE and DELETE") || !strings.Contains(why, "REPLICA IDENTITY FULL") {
				t.Errorf("why says %q", why)
			}
			owner.exec("ALTER TABLE keyed REPLICA IDENTITY FULL")
			if test.works {
				owner.exec("ALTER PUBLICATION walpurge ADD TABLE keyed")
			}
			r.wholePage("keyed")
			r.expectEpochs("start")
		})
	}
}
