package primary

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// holder is a session or a prepared transaction that keeps one of ours waiting.
type holder struct {
	pid         int32 // 0: a prepared transaction
	gid         string
	user        string
	application string
	database    string
	kind        string // backend_type; empty: hidden
	state       string // empty: hidden
	since       string // when its transaction began, in UTC; empty: hidden
	age         float64
}

// String names it and says what it does, as far as the role may see that.
func (h *holder) String() string {
	var b strings.Builder
	who := []string{}
	add := func(what, name string) {
		if name != "" {
			who = append(who, what+" "+plain(name))
		}
	}
	switch {
	case h.pid == 0:
		b.WriteString("prepared transaction " + strconv.Quote(h.gid))
	case h.kind != "" && h.kind != "client backend":
		fmt.Fprintf(&b, "%s %d", h.kind, h.pid)
	default:
		fmt.Fprintf(&b, "session %d", h.pid)
	}
	add("user", h.user)
	add("application", h.application)
	add("database", h.database)
	if len(who) > 0 {
		b.WriteString(" (" + strings.Join(who, ", ") + ")")
	}
	switch {
	case h.pid == 0:
		b.WriteString(": COMMIT PREPARED or ROLLBACK PREPARED ends it, and it is open")
	case h.state == "" && h.since == "":
		b.WriteString(", of which this role sees no more without pg_read_all_stats")
		return b.String()
	case h.state != "":
		b.WriteString(", " + h.state)
	}
	if h.since != "" {
		fmt.Fprintf(&b, " since %s UTC, for %s", h.since, time.Duration(h.age*float64(time.Second)).Round(time.Second))
	}
	return b.String()
}

// plain is s, quoted where it has what a terminal shouldn't get.
func plain(s string) string {
	if q := strconv.Quote(s); q[1:len(q)-1] != s {
		return q
	}
	return s
}

// Waited is whom a session waits for at one moment. nil: for nobody.
type Waited []holder

// String names the first three.
func (w Waited) String() string {
	var names []string
	for i := range w[:min(len(w), 3)] {
		names = append(names, w[i].String())
	}
	if n := len(w) - len(names); n > 0 {
		names = append(names, fmt.Sprintf("%d more", n))
	}
	return strings.Join(names, "; and for ")
}

// same tells whether both are the same sessions in the same states.
func (w Waited) same(other Waited) bool {
	if len(w) != len(other) {
		return false
	}
	for i := range w {
		if w[i].pid != other[i].pid || w[i].gid != other[i].gid || w[i].state != other[i].state {
			return false
		}
	}
	return true
}

// Vacuums tells whether they are autovacuum workers alone, which give way to
// whoever waits for as long as deadlock_timeout.
func (w Waited) Vacuums() bool {
	for i := range w {
		if w[i].kind != "autovacuum worker" && (w[i].kind != "" || w[i].user != "" || w[i].pid == 0) {
			return false
		}
	}
	return len(w) > 0
}

const sinceColumns = `coalesce(to_char(%[1]s AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), ''), coalesce(extract(epoch FROM clock_timestamp() - %[1]s), 0)::float8`

var (
	sessionColumns = `a.pid, '', coalesce(a.usename::text, ''), coalesce(a.application_name, ''), coalesce(a.datname::text, ''),
 coalesce(a.backend_type, ''), coalesce(a.state, ''), ` + fmt.Sprintf(sinceColumns, "a.xact_start")
	preparedColumns = `0, p.gid, p.owner::text, '', p.database::text, '', '', ` + fmt.Sprintf(sinceColumns, "p.prepared")

	// blockersQuery finds who has the lock that session $1 waits for: a table's,
	// or the one that every transaction has on its own id. A prepared transaction has no
	// session; its locks are listed under its id.
	blockersQuery = `
WITH b AS MATERIALIZED (SELECT DISTINCT unnest(pg_blocking_pids($1)) AS pid),
w AS MATERIALIZED (SELECT * FROM pg_locks WHERE pid = $1 AND NOT granted AND EXISTS (SELECT FROM b WHERE pid = 0))
SELECT ` + sessionColumns + ` FROM pg_stat_activity a WHERE a.pid IN (SELECT pid FROM b)
UNION ALL SELECT ` + preparedColumns + ` FROM pg_prepared_xacts p WHERE EXISTS (SELECT FROM w WHERE w.transactionid = p.transaction
  OR EXISTS (SELECT FROM pg_locks l WHERE l.pid IS NULL AND l.virtualtransaction = '-1/' || p.transaction
    AND l.database IS NOT DISTINCT FROM w.database AND l.relation = w.relation))
ORDER BY 9 DESC`

	// openQuery finds the transactions that began before id $1, the oldest first.
	openQuery = `
SELECT ` + sessionColumns + ` FROM pg_stat_activity a WHERE age(a.backend_xid) > age(($1::text::bigint & 4294967295)::text::xid)
UNION ALL SELECT ` + preparedColumns + ` FROM pg_prepared_xacts p WHERE age(p.transaction) > age(($1::text::bigint & 4294967295)::text::xid)
ORDER BY 9 DESC`
)

// askWaited asks one of the queries above.
func askWaited(ctx context.Context, conn *pgx.Conn, query string, arg any) (Waited, error) {
	ctx, cancel := context.WithTimeout(ctx, QueryTimeout)
	defer cancel()
	rows, err := conn.Query(ctx, query, arg)
	if err != nil {
		return nil, err
	}
	var found Waited // nil without a row
	var h holder
	_, err = pgx.ForEachRow(rows, []any{&h.pid, &h.gid, &h.user, &h.application, &h.database, &h.kind, &h.state, &h.since, &h.age}, func() error {
		found = append(found, h)
		return nil
	})
	return found, err
}

// askOpen asks for the transactions that began before id, the oldest first.
func askOpen(ctx context.Context, conn *pgx.Conn, id uint64) (Waited, error) {
	return askWaited(ctx, conn, openQuery, strconv.FormatUint(id, 10))
}

// Attend does what waits in the session pid of the server. Meanwhile it asks
// every so often, on a connection of its own, whom that session waits for, and
// tells it, nil included.
func (o Options) Attend(ctx context.Context, pid uint32, every time.Duration, tell func(Waited), do func() error) error {
	asking, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = o.askAgain(asking, pid, every, tell)
	}()
	err := do()
	stop()
	<-ended
	tell(nil)
	return err
}

// askAgain asks until ctx ends, or the server can't be asked.
func (o Options) askAgain(ctx context.Context, pid uint32, every time.Duration, tell func(Waited)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var conn *pgx.Conn
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if conn == nil { // nothing is asked of what ends at once
			var err error
			if conn, err = o.Connect(ctx); err != nil {
				return err
			}
			defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		}
		found, err := askWaited(ctx, conn, blockersQuery, int32(pid))
		if err != nil {
			return err
		}
		tell(found)
	}
}

const (
	WaitLook   = 200 * time.Millisecond // between two questions whom a session waits for
	waitReport = 10 * time.Second       // how often it is said when nothing changes
	WaitShort  = time.Second            // what is over by then is not worth a line in the log
)

// Sayer says whom a session waits for: when it is somebody else, and every ten
// seconds. What ends before After is not said.
type Sayer struct {
	Say   func(string) // is told in words whom it waits for
	After time.Time    // when the first wait is worth a word
	last  Waited
	at    time.Time
}

// See is told whom the session waits for now; nil: for nobody.
func (s *Sayer) See(w Waited) {
	now := time.Now()
	if w == nil || now.Before(s.After) || w.same(s.last) && now.Sub(s.at) < waitReport {
		return
	}
	s.last, s.at = w, now
	s.Say(w.String())
}
