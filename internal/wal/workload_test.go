package wal

import "fmt"

// step does something in a session.
func (w *workload) step(s *session) {
	switch n := w.IntN(100); {
	case s.prepared != "": // holds its locks
		if n < 30 {
			w.resolve(s)
		}
	case n < 20 && !s.open:
		w.in(s, "BEGIN")
		s.open, s.saved = true, 0
	case n < 6 && s.open:
		w.end(s)
	case n < 16 && s.open:
		s.saved++
		w.in(s, fmt.Sprintf("SAVEPOINT s%d", s.saved))
	case n < 21 && s.open && s.saved > 0:
		back := 1 + w.IntN(s.saved)
		w.in(s, fmt.Sprintf("ROLLBACK TO s%d", back))
		s.saved = back
	case n < 27 && s.open && s.saved > 0:
		s.saved = w.IntN(s.saved)
		w.in(s, fmt.Sprintf("RELEASE s%d", s.saved+1))
	case n == 27:
		w.alone()
	default:
		w.in(s, w.change(s))
	}
}

// end ends a transaction.
func (w *workload) end(s *session) {
	s.open = false
	switch n := w.IntN(10); {
	case n < 5:
		w.in(s, "COMMIT")
	case n < 8:
		w.in(s, "ROLLBACK")
	default:
		w.next++
		name := fmt.Sprintf("p%d", w.next)
		w.in(s, "PREPARE TRANSACTION '"+name+"'")
		s.prepared = name
	}
}

// resolve ends a prepared transaction, in another session than its own.
func (w *workload) resolve(s *session) {
	if _, err := w.conn.Exec(w.t.Context(), pick(w, "COMMIT", "ROLLBACK")+" PREPARED '"+s.prepared+"'"); err != nil {
		w.t.Fatal(err)
	}
	s.prepared = ""
}

// settle ends every transaction.
func (w *workload) settle() {
	for _, s := range w.sessions {
		if s.open {
			w.in(s, "COMMIT")
			s.open = false
		}
		if s.prepared != "" {
			w.resolve(s)
		}
	}
	w.learn(w.conn, w.files)
}

// alone does what nobody else can be there for.
func (w *workload) alone() {
	w.settle()
	s := w.sessions[0]
	do := [][]string{
		{"TRUNCATE plain"},
		{"BEGIN", "TRUNCATE wide, parts", "INSERT INTO wide VALUES (1, 'a')", "COMMIT"},
		{"BEGIN", "TRUNCATE plain", "ROLLBACK"},
		{"VACUUM FULL wide"},
		{"ALTER TABLE plain ALTER n TYPE bigint", "ALTER TABLE plain ALTER n TYPE int"},
		{"CHECKPOINT"},
		{"SELECT pg_switch_wal()"},
		{"CREATE TABLE made AS SELECT g AS id FROM generate_series(1, 50) g", "DROP TABLE made"},
		{"CREATE TEMP TABLE passing (id int)", "INSERT INTO passing VALUES (1)", "DROP TABLE passing"},
		{"CREATE MATERIALIZED VIEW seen AS SELECT * FROM plain", "REFRESH MATERIALIZED VIEW seen", "DROP MATERIALIZED VIEW seen"},
		{"SET wal_compression = on"},
	}
	for _, statement := range do[w.IntN(len(do))] {
		w.in(s, statement)
		w.learn(s.conn, w.files)
	}
}

// change is a statement that changes rows which are the session's own.
func (w *workload) change(s *session) string {
	id := workers*w.IntN(300) + s.mine
	table := pick(w, "plain", "plain", "wide", "parts")
	column := map[string]string{"plain": "n", "wide": "doc", "parts": "n"}[table]
	value := fmt.Sprint(w.IntN(100))
	if table == "wide" {
		value = pick(w, "'short'", "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 200))", "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 2000))", "doc || 'x'")
	}
	mine := fmt.Sprintf("id %% %d = %d", workers, s.mine)
	switch n := w.IntN(20); {
	case n < 6:
		if value == "doc || 'x'" {
			value = "'new'"
		}
		return fmt.Sprintf("INSERT INTO %s (id, %s) VALUES (%d, %s) ON CONFLICT (id) DO UPDATE SET %s = excluded.%s", table, column, id, value, column, column)
	case n < 8:
		return fmt.Sprintf("INSERT INTO %s (id) SELECT g FROM generate_series(%d, %d, %d) g ON CONFLICT DO NOTHING", table, id, id+300*workers, workers)
	case n < 10:
		return fmt.Sprintf("DELETE FROM %s WHERE id = %d", table, id)
	case n == 10:
		return fmt.Sprintf("DELETE FROM %s WHERE id > 300 AND %s", table, mine)
	case n == 11:
		return fmt.Sprintf("SELECT pg_logical_emit_message(true, '%s', 'group%d')", pick(w, "walpurge", "walpurge", "other"), id)
	case n == 12:
		return fmt.Sprintf("SELECT pg_logical_emit_message(false, 'walpurge', repeat('g', %d))", 1+w.IntN(9000))
	case n == 18:
		return fmt.Sprintf("COPY bag FROM PROGRAM 'seq 1 %d'", 1+w.IntN(300))
	case n == 13:
		return fmt.Sprintf("SELECT * FROM %s WHERE %s FOR UPDATE", table, mine)
	case n == 14 && table == "plain":
		return fmt.Sprintf("UPDATE plain SET id = id + %d WHERE id = %d AND NOT EXISTS (SELECT FROM plain WHERE id = %d)", 900*workers, id, id+900*workers)
	case n == 15 && table == "parts": // from one partition to the other
		return fmt.Sprintf("UPDATE parts SET id = id + %d WHERE id = %d AND NOT EXISTS (SELECT FROM parts WHERE id = %d)", 200*workers, id, id+200*workers)
	case n == 16:
		return fmt.Sprintf("DO $$ BEGIN FOR i IN 1..5 LOOP BEGIN UPDATE %s SET %s = %s WHERE id = %d; IF i > 3 THEN RAISE EXCEPTION 'back'; END IF; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$", table, column, value, id)
	case n == 17:
		return fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s", table, column, value, mine)
	}
	return fmt.Sprintf("UPDATE %s SET %s = %s WHERE id = %d", table, column, value, id)
}

func pick(w *workload, of ...string) string { return of[w.IntN(len(of))] }

// in runs a statement in a session.
func (w *workload) in(s *session, statement string) {
	w.t.Helper()
	if _, err := s.conn.PgConn().Exec(w.t.Context(), statement).ReadAll(); err != nil {
		w.t.Fatalf("%s: %v", statement, err)
	}
}
