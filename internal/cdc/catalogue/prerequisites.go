package catalogue

import (
	"context"
	"time"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/wal"
)

// minimumVersion is PostgreSQL 14: the first whose pgoutput publishes logical
// messages.
const minimumVersion = 140000

// serverFacts are the settings and privileges that matter.
type serverFacts struct {
	primary.Server
	version       int
	versionText   string
	walLevel      string
	encoding      string
	database      string
	user          string
	superuser     bool
	mayReplicate  bool
	mayCreate     bool // in the database
	slotsUsed     int
	slotsMax      int
	keepSize      int // max_slot_wal_keep_size in MiB; -1: no limit
	senderTimeout int // ms; 0: none
	decodingRoom  int // logical_decoding_work_mem in KiB
	standbyNames  string
	rds           bool // the role rds_replication exists
	exactText     bool
}

// ServerFactsQuery asks for them. A managed server may grant replication by a role of its own: RDS by
// rds_replication and rds_superuser.
const ServerFactsQuery = `
SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('wal_level'),
 pg_encoding_to_char(d.encoding), d.datname::text, current_user::text, r.rolsuper,
 r.rolsuper OR r.rolreplication OR EXISTS (SELECT FROM pg_roles g
   WHERE g.rolname IN ('rds_replication', 'rds_superuser', 'cloudsqlsuperuser') AND pg_has_role(r.oid, g.oid, 'MEMBER')
     AND (g.rolname <> 'cloudsqlsuperuser' OR r.rolreplication)),
 has_database_privilege(d.oid, 'CREATE'),
 (SELECT count(*) FROM pg_replication_slots)::int, current_setting('max_replication_slots')::int,
 coalesce((SELECT setting::int FROM pg_settings WHERE name = 'max_slot_wal_keep_size'), -1),
 coalesce((SELECT setting::int FROM pg_settings WHERE name = 'wal_sender_timeout'), 60000),
 coalesce((SELECT setting::int FROM pg_settings WHERE name = 'logical_decoding_work_mem'), 65536),
 current_setting('synchronous_standby_names'), EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication')
FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user`

func (ins *Inspection) readServer(ctx context.Context) error {
	s := &ins.server
	if err := s.Read(ctx, ins.tx); err != nil {
		return err
	}
	err := ins.tx.QueryRow(ctx, ServerFactsQuery).Scan(&s.version, &s.versionText, &s.walLevel, &s.encoding, &s.database,
		&s.user, &s.superuser, &s.mayReplicate, &s.mayCreate, &s.slotsUsed, &s.slotsMax, &s.keepSize, &s.senderTimeout, &s.decodingRoom, &s.standbyNames, &s.rds)
	if err != nil {
		return err
	}
	s.exactText = exactText(s.encoding)
	c := ins.Catalogue
	c.SystemID, c.Timeline, c.Version, c.Database, c.standbyNames = s.System, s.Timeline, s.version, s.database, s.standbyNames
	c.DecodingRoom = s.decodingRoom
	c.StatusInterval = time.Second
	if s.senderTimeout > 0 {
		c.StatusInterval = min(time.Second, time.Duration(s.senderTimeout)*time.Millisecond/3)
	}
	ins.checkServer()
	return nil
}

func (ins *Inspection) checkServer() {
	s, r := &ins.server, &ins.refused
	if s.version < minimumVersion {
		r.server("upgrade to PostgreSQL 14 or later", "the server is PostgreSQL %s", s.versionText)
		return
	}
	if s.Recovery {
		r.server("use the URL of the primary", "the server is a standby")
		return
	}
	if s.walLevel != "logical" {
		r.server("set wal_level=logical and restart PostgreSQL (Amazon RDS: rds.logical_replication=1; Cloud SQL: cloudsql.logical_decoding=on)",
			"wal_level is %q", s.walLevel)
	}
	if !s.mayReplicate {
		ins.forbidden.server("ALTER ROLE "+quoteName(s.user)+" REPLICATION (Amazon RDS: GRANT rds_replication TO "+quoteName(s.user)+")",
			"the role %s may not replicate", s.user)
	}
	if s.encoding == "SQL_ASCII" || s.encoding == "MULE_INTERNAL" {
		r.server("use a database with encoding UTF8", "the encoding of database %s is %s, whose text can't be turned into UTF-8", s.database, s.encoding)
	}
	if listsUs(s.standbyNames) {
		r.server(standbyMend, "synchronous_standby_names is %q", s.standbyNames)
	}
	if _, err := wal.NewLayout(s.version, 8<<10, 16<<20); err != nil && ins.cfg.ReadAhead > 0 {
		ins.Catalogue.Warnings = append(ins.Catalogue.Warnings,
			"PostgreSQL "+s.versionText+" is newer than what this proxy was tried with, and its log can't be read ahead: while a bulk job runs, requests go to the origin; look for a newer proxy")
	}
	if !ins.cfg.Temporary && s.keepSize < 0 {
		ins.Catalogue.Warnings = append(ins.Catalogue.Warnings,
			"max_slot_wal_keep_size is unlimited: if this proxy stays away, its slot keeps WAL until the disk is full; set it to what the disk can spare, for instance 10GB")
	}
}

// checkFreeSlots refuses when a slot must be made and there is no room.
func (ins *Inspection) checkFreeSlots() {
	s := &ins.server
	if ins.Catalogue.slot == nil && s.slotsUsed >= s.slotsMax {
		ins.refused.server("raise max_replication_slots and restart PostgreSQL, or drop a slot that nobody uses",
			"all %d replication slots are in use", s.slotsMax)
	}
}
