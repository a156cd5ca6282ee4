package cdc

import (
	"context"
	"fmt"
)

// fingerprintQuery hashes all that Inspect relies on and that DDL can change:
// the publication with its members, the watched tables with their partitions,
// columns and key indexes. The xmin of a row shows that it was written even
// if what it says is the same again: a table that left a publication and came
// back, or ALTER COLUMN TYPE with USING to the type it had.
//
// Labels of enums count: a renamed one changes what rows say without a change
// of a row. Of partitions the file counts too: TRUNCATE of a single one is not published
// under the root's name.
const fingerprintQuery = `
WITH watched AS MATERIALIZED (
  SELECT w.n, c.oid, c.relkind FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS w(nspname, relname, n)
  LEFT JOIN pg_namespace s ON s.nspname = w.nspname
  LEFT JOIN pg_class c ON c.relnamespace = s.oid AND c.relname = w.relname
), member AS MATERIALIZED (
  SELECT n, oid AS root, oid FROM watched WHERE oid IS NOT NULL
  UNION SELECT w.n, w.oid, t.relid FROM watched w CROSS JOIN LATERAL pg_partition_tree(w.oid::regclass) t WHERE w.relkind = 'p'
), pub AS MATERIALIZED (SELECT p.*, p.xmin AS written FROM pg_publication p WHERE pubname = $1)
SELECT md5(concat_ws(E'\n',
 (SELECT concat_ws(' ', oid, written, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot) FROM pub),
 (SELECT string_agg(concat_ws(' ', r.oid, r.prrelid, r.xmin), ',' ORDER BY r.oid) FROM pg_publication_rel r JOIN pub ON pub.oid = r.prpubid),
 %s
 (SELECT string_agg(concat_ws(' ', m.n, c.oid, c.relnamespace, c.relname, c.relkind, c.relpersistence, c.relreplident, c.relispartition,
    CASE WHEN c.oid <> m.root THEN c.relfilenode END), ',' ORDER BY m.n, c.oid) FROM member m JOIN pg_class c ON c.oid = m.oid),
 (SELECT string_agg(concat_ws(' ', w.n, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attgenerated, a.attisdropped, a.xmin), ','
    ORDER BY w.n, a.attnum) FROM watched w JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0),
 (SELECT string_agg(concat_ws(' ', i.indrelid, i.indexrelid, i.indkey, i.indnkeyatts, i.indisprimary, i.indisreplident, i.indimmediate, i.indisvalid), ','
    ORDER BY i.indexrelid) FROM member m JOIN pg_index i ON i.indrelid = m.oid AND (i.indisprimary OR i.indisreplident)),
 (SELECT string_agg(i.inhrelid::text, ',' ORDER BY i.inhrelid) FROM watched w JOIN pg_inherits i ON i.inhparent = w.oid),
 (WITH RECURSIVE type AS (SELECT a.atttypid AS oid FROM watched w JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0
    UNION SELECT t.typbasetype FROM type JOIN pg_type t ON t.oid = type.oid WHERE t.typtype = 'd')
  SELECT string_agg(concat_ws(' ', e.oid, e.enumlabel), ',' ORDER BY e.oid) FROM type JOIN pg_enum e ON e.enumtypid = type.oid)
))`

// Schemas in publications came with PostgreSQL 15.
const fingerprintSchemas = `(SELECT string_agg(concat_ws(' ', s.oid, s.pnnspid, s.xmin), ',' ORDER BY s.oid) FROM pg_publication_namespace s JOIN pub ON pub.oid = s.pnpubid),`

// fingerprintStatement returns the query for a version, and its arguments.
func fingerprintStatement(version int, cfg *Config) (string, []any) {
	schemas := fingerprintSchemas
	if version < 150000 {
		schemas = ""
	}
	var names [2][]string
	for i := range cfg.Watches {
		schema, table := cfg.Watches[i].names()
		names[0], names[1] = append(names[0], schema), append(names[1], table)
	}
	return fmt.Sprintf(fingerprintQuery, schemas), []any{cfg.Publication, names[0], names[1]}
}

// fingerprint changes whenever something has that Inspect relies on.
func fingerprint(ctx context.Context, q querier, cfg *Config) (string, error) {
	var version int
	if err := q.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return "", fmt.Errorf("fingerprint the catalogue: %w", err)
	}
	statement, args := fingerprintStatement(version, cfg)
	var sum string
	if err := q.QueryRow(ctx, statement, args...).Scan(&sum); err != nil {
		return "", fmt.Errorf("fingerprint the catalogue: %w", err)
	}
	return sum, nil
}
