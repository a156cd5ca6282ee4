package catalogue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/cdc/primary"
)

// standbyMend is what to do when PostgreSQL would wait for us.
const standbyMend = "name the real standbys there, not * or " + primary.ApplicationName + ": commits of the application would wait for this proxy"

// listsUs tells whether synchronous_standby_names has an entry that our
// connections match: https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-SYNCHRONOUS-STANDBY-NAMES.
func listsUs(names string) bool {
	if open := strings.IndexByte(names, '('); open >= 0 {
		names = strings.TrimRight(strings.TrimSpace(names[open+1:]), ")")
	}
	for name := range strings.SplitSeq(names, ",") {
		name = strings.Trim(strings.TrimSpace(name), `"`)
		if name == "*" || strings.EqualFold(name, primary.ApplicationName) {
			return true
		}
	}
	return false
}

// ErrWaitedFor says that commits of the application wait for us, while we wait
// for them to become visible (R4, R5).
var ErrWaitedFor = errors.New("synchronous_standby_names makes this proxy a synchronous standby; " + standbyMend)

// CheckAsynchronous makes sure that the walsender pid is none that commits
// wait for: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW.
func CheckAsynchronous(ctx context.Context, conn *pgx.Conn, pid uint32) error {
	var state, names string
	err := conn.QueryRow(ctx, `SELECT coalesce((SELECT sync_state FROM pg_stat_replication WHERE pid = $1), ''),
 current_setting('synchronous_standby_names')`, int32(pid)).Scan(&state, &names)
	if err != nil {
		return fmt.Errorf("read the state of our stream: %w", err)
	}
	// Without pg_read_all_stats a role sees no state, not even its own.
	if state == "async" || state == "" && !listsUs(names) {
		return nil
	}
	return fmt.Errorf("%w (the setting is %q)", ErrWaitedFor, names)
}
