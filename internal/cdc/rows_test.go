package cdc

import (
	"slices"
	"testing"

	"walpurge/dev/testbed"
)

func watchRooms() Watch {
	return Watch{Table: "public.rooms", Columns: []string{"id", "city", "price"}, Conditions: []string{"id", "city", "price"}}
}

func TestRowsWithFullIdentity(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(`CREATE TABLE rooms (id int PRIMARY KEY, note text, city text, price numeric)`,
		`ALTER TABLE rooms REPLICA IDENTITY FULL`, `CREATE TABLE bystander (id int PRIMARY KEY)`)
	r := listen(t, config(t, url, watchRooms()))
	r.expect(sql("INSERT INTO rooms VALUES (1, 'x', 'Lagos', 10.50), (2, 'y', NULL, NULL)"),
		"insert rooms: id=1 city=Lagos price=10.50", "insert rooms: id=2 city=null price=null")
	r.expect(sql("UPDATE rooms SET price = 11 WHERE id = 1"),
		"update rooms: id=1 city=Lagos price=10.50 -> id=1 city=Lagos price=11 [price]")
	r.expect(sql("UPDATE rooms SET note = 'z' WHERE id = 1"),
		"update rooms: id=1 city=Lagos price=11 -> id=1 city=Lagos price=11 [other]")
	r.expect(sql("UPDATE rooms SET note = note WHERE id = 1"),
		"update rooms: id=1 city=Lagos price=11 -> id=1 city=Lagos price=11 []")
	r.expect(sql("UPDATE rooms SET id = 3, city = NULL WHERE id = 1"),
		"update rooms: id=1 city=Lagos price=11 -> id=3 city=null price=11 [id city]")
	r.expect(sql("DELETE FROM rooms WHERE id = 2"), "delete rooms: id=2 city=null price=null")
	r.expect(sql("TRUNCATE rooms, bystander"), "whole public.rooms")
	r.expect(sql("INSERT INTO bystander VALUES (1)"))
}

func TestRowsWithDefaultIdentity(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(`CREATE TABLE rooms (id int PRIMARY KEY, note text, city text, price numeric)`)
	r := listen(t, config(t, url, watchRooms()))
	r.expect(sql("INSERT INTO rooms VALUES (1, 'x', 'Lagos', 10), (2, 'y', NULL, NULL)"),
		"insert rooms: id=1 city=Lagos price=10", "insert rooms: id=2 city=null price=null")
	r.expect(sql("UPDATE rooms SET price = 11 WHERE id = 1"),
		"update rooms: id=1 city=? price=? -> id=1 city=Lagos price=11 [id city price other]")
	r.expect(sql("UPDATE rooms SET id = 3 WHERE id = 1"),
		"update rooms: id=1 city=? price=? -> id=3 city=Lagos price=11 [id city price other]")
	r.expect(sql("DELETE FROM rooms WHERE id = 2"), "delete rooms: id=2 city=? price=?")
}

func TestRowsWithIndexIdentity(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(`CREATE TABLE rooms (id int PRIMARY KEY, note text, city text NOT NULL, price numeric)`,
		`CREATE UNIQUE INDEX by_city ON rooms (city) INCLUDE (price)`, `ALTER TABLE rooms REPLICA IDENTITY USING INDEX by_city`,
		`INSERT INTO rooms VALUES (1, 'x', 'Lagos', 10)`)
	r := listen(t, config(t, url, watchRooms()))
	r.expect(sql("UPDATE rooms SET id = 2, price = 11"),
		"update rooms: id=? city=Lagos price=? -> id=2 city=Lagos price=11 [id city price other]")
	r.expect(sql("UPDATE rooms SET city = 'Accra'"),
		"update rooms: id=? city=Lagos price=? -> id=2 city=Accra price=11 [id city price other]")
	r.expect(sql("DELETE FROM rooms"), "delete rooms: id=? city=Accra price=?")
}

func TestUnchangedToastIsTakenFromTheOldRow(t *testing.T) {
	url := testbed.Database(t)
	for _, table := range []string{"whole", "keyed"} {
		newClient(t, url).exec("CREATE TABLE "+table+" (id int PRIMARY KEY, price int, city text)",
			"ALTER TABLE "+table+" ALTER city SET STORAGE EXTERNAL", "INSERT INTO "+table+" VALUES (1, 1, repeat('x', 20000))")
	}
	newClient(t, url).exec("ALTER TABLE whole REPLICA IDENTITY FULL")
	columns := []string{"id", "city", "price"}
	r := listen(t, config(t, url, Watch{Table: "public.whole", Columns: columns, Conditions: columns},
		Watch{Table: "public.keyed", Columns: columns, Conditions: columns}))
	r.expect(sql("UPDATE whole SET price = 2"),
		"update whole: id=1 city=xxx…20000 price=1 -> id=1 city=xxx…20000 price=2 [price]")
	r.expect(sql("UPDATE keyed SET price = 2"),
		"update keyed: id=1 city=? price=? -> id=1 city=? price=2 [id city price other]")
	r.expect(sql("UPDATE keyed SET id = 2"),
		"update keyed: id=1 city=? price=? -> id=2 city=? price=2 [id city price other]")
}

func TestOnlyConditionsCarryValues(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(`CREATE TABLE rooms (id int PRIMARY KEY, note text, city text, price numeric)`,
		`ALTER TABLE rooms REPLICA IDENTITY FULL`)
	w := watchRooms()
	w.Conditions = []string{"id"}
	r := listen(t, config(t, url, w))
	r.expect(sql("INSERT INTO rooms VALUES (1, 'x', 'Lagos', 10)", "UPDATE rooms SET price = 11"),
		"insert rooms: id=1 city=? price=?", "update rooms: id=1 city=? price=? -> id=1 city=? price=? [price]")
}

func TestGeneratedColumnCountsAsChanged(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(`CREATE TABLE rooms (id int PRIMARY KEY, note text, city text, price int GENERATED ALWAYS AS (length(note)) STORED)`,
		`ALTER TABLE rooms REPLICA IDENTITY FULL`)
	r := listen(t, config(t, url, watchRooms()))
	r.expect(sql("INSERT INTO rooms VALUES (1, 'x', 'Lagos')", "UPDATE rooms SET note = 'xx'"),
		"insert rooms: id=1 city=Lagos price=?",
		"update rooms: id=1 city=Lagos price=? -> id=1 city=Lagos price=? [price other]")
}

func TestTransactionsAndTheirParts(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(`CREATE TABLE rooms (id int PRIMARY KEY, note text, city text, price numeric)`,
		`CREATE TABLE guests (id int PRIMARY KEY, room int REFERENCES rooms ON DELETE CASCADE)`)
	r := listen(t, config(t, url, Watch{Table: "public.rooms", Columns: []string{"id"}, Conditions: []string{"id"}},
		Watch{Table: "public.guests", Columns: []string{"id"}, Conditions: []string{"id"}}))
	insert := func(id string) string { return "INSERT INTO rooms VALUES (" + id + ")" }

	r.expect(sql("BEGIN", insert("1"), "ROLLBACK"))
	r.expect(sql("BEGIN", insert("1"), "SAVEPOINT s", insert("2"), "ROLLBACK TO s", insert("3"), "RELEASE s", "COMMIT"),
		"insert rooms: id=1", "insert rooms: id=3")
	r.expect(sql("DO $$ BEGIN BEGIN INSERT INTO rooms VALUES (4); EXCEPTION WHEN others THEN NULL; END; "+
		"BEGIN INSERT INTO rooms VALUES (5); RAISE 'no'; EXCEPTION WHEN others THEN NULL; END; END $$"), "insert rooms: id=4")
	r.expect(sql("BEGIN", insert("6"), "PREPARE TRANSACTION 'six'"))
	r.expect(sql("COMMIT PREPARED 'six'"), "insert rooms: id=6")
	r.expect(sql("BEGIN", insert("7"), "PREPARE TRANSACTION 'seven'", "ROLLBACK PREPARED 'seven'"))
	r.expect(sql("INSERT INTO guests VALUES (10, 6), (11, 6)"), "insert guests: id=10", "insert guests: id=11")
	r.expect(sql("DELETE FROM rooms WHERE id = 6"), "delete rooms: id=6", "delete guests: id=10", "delete guests: id=11")
	r.expect(sql("INSERT INTO rooms VALUES (1, 'new') ON CONFLICT (id) DO UPDATE SET note = excluded.note"),
		"update rooms: id=1 -> id=1 [id other]")
	r.expect(sql("TRUNCATE rooms CASCADE"), "whole public.rooms", "whole public.guests")
}

func TestMessagesPurgeGroups(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(`CREATE TABLE rooms (id int PRIMARY KEY, note text, city text, price numeric)`)
	r := listen(t, config(t, url, watchRooms()))
	r.expect(sql("SELECT pg_logical_emit_message(true, 'walpurge', E'  group-a\\tgroup-b\\n')"), "group group-a", "group group-b")
	r.expect(sql("SELECT pg_logical_emit_message(false, 'walpurge', 'now')"))
	r.expect(sql("SELECT pg_logical_emit_message(true, 'other', 'group-a')"))
	r.expect(sql("BEGIN", "SELECT pg_logical_emit_message(true, 'walpurge', 'never')", "ROLLBACK"))
	r.expect(sql("BEGIN", "INSERT INTO rooms VALUES (1)", "SELECT pg_logical_emit_message(true, 'walpurge', 'both')", "COMMIT"),
		"group both", "insert rooms: id=1 city=null price=null")

	before := len(r.lines())
	lsn, err := r.listener.EmitPurge(t.Context(), []string{"x", "y"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the position of the purge is applied", func() bool { return r.guard.Applied() >= lsn })
	if got := r.lines()[before:]; len(got) != 2 || got[0] != "group x" || got[1] != "group y" {
		t.Errorf("purged %q", got)
	}
	for _, bad := range [][]string{nil, {""}, {"a b"}, {"a\u00a0b"}} {
		if _, err := r.listener.EmitPurge(t.Context(), bad); err == nil {
			t.Errorf("EmitPurge(%q) reports no error", bad)
		}
	}
}

func TestPartitionedTable(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(`CREATE TABLE rooms (id int, city text, price numeric, PRIMARY KEY (id, city)) PARTITION BY LIST (city)`,
		`CREATE TABLE lagos PARTITION OF rooms FOR VALUES IN ('Lagos')`,
		`CREATE TABLE rest (price numeric, city text NOT NULL, id int NOT NULL)`,
		`ALTER TABLE rooms ATTACH PARTITION rest DEFAULT`,
		`ALTER TABLE rooms REPLICA IDENTITY FULL`, `ALTER TABLE lagos REPLICA IDENTITY FULL`, `ALTER TABLE rest REPLICA IDENTITY FULL`)
	r := listen(t, config(t, url, watchRooms()))
	r.expect(sql("INSERT INTO rooms VALUES (1, 'Lagos', 10), (2, 'Accra', 20)"),
		"insert rooms: id=1 city=Lagos price=10", "insert rooms: id=2 city=Accra price=20")
	r.expect(sql("UPDATE rooms SET price = 11 WHERE id = 1"),
		"update rooms: id=1 city=Lagos price=10 -> id=1 city=Lagos price=11 [price]")
	r.expect(sql("UPDATE rooms SET city = 'Accra' WHERE id = 1"),
		"delete rooms: id=1 city=Lagos price=11", "insert rooms: id=1 city=Accra price=11")
	r.expect(sql("UPDATE rest SET price = 21 WHERE id = 2"),
		"update rooms: id=2 city=Accra price=20 -> id=2 city=Accra price=21 [price]")
	r.expect(sql("TRUNCATE rooms"), "whole public.rooms")
}

// The old row has the columns of the partition's identity, while it is
// described by the root's: nulls where nothing was logged.
func TestPartitionWithLessIdentityThanItsRoot(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(`CREATE TABLE rooms (id int, city text, price numeric, PRIMARY KEY (id)) PARTITION BY LIST (id)`,
		`CREATE TABLE one PARTITION OF rooms FOR VALUES IN (1, 2)`,
		`ALTER TABLE rooms REPLICA IDENTITY FULL`, `INSERT INTO rooms VALUES (1, 'Lagos', 10)`)
	r := listen(t, config(t, url, watchRooms()))
	r.expect(sql("UPDATE rooms SET price = 11"),
		"update rooms: id=1 city=? price=? -> id=1 city=Lagos price=11 [id city price other]")
	r.expect(sql("UPDATE rooms SET id = 2"),
		"update rooms: id=1 city=? price=? -> id=2 city=Lagos price=11 [id city price other]")
	r.expect(sql("DELETE FROM rooms"), "delete rooms: id=2 city=? price=?")
}

// A partition that is attached and written to before the catalogue has been
// looked at again.
func TestPartitionAttachedAMomentAgo(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(`CREATE TABLE rooms (id int, city text, price numeric, PRIMARY KEY (id)) PARTITION BY LIST (id)`,
		`CREATE TABLE one PARTITION OF rooms FOR VALUES IN (1)`, `ALTER TABLE one REPLICA IDENTITY FULL`,
		`ALTER TABLE rooms REPLICA IDENTITY FULL`)
	r := listen(t, config(t, url, watchRooms()))
	r.exec("CREATE TABLE two PARTITION OF rooms FOR VALUES IN (2); INSERT INTO rooms VALUES (2, 'Lagos', 10); UPDATE rooms SET price = 11; DELETE FROM rooms")
	eventually(t, "three changes", func() bool { return len(r.lines()) >= 3 })
	eventually(t, "the partition is found", func() bool { return slices.Contains(r.lines(), "whole public.rooms") })
	for _, line := range r.lines() {
		switch line {
		case "whole public.rooms", "insert rooms: id=2 city=Lagos price=10",
			"update rooms: id=2 city=? price=? -> id=2 city=Lagos price=11 [id city price other]",
			"delete rooms: id=2 city=? price=?":
		default:
			t.Errorf("got %q", line)
		}
	}
	r.expectEpochs("start")
}
