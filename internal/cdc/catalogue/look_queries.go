package catalogue

// quickQuery hashes which rows of the catalogue matter and which
// transactions have written them (xmin): a table that was detached, written to and
// attached again between two looks looks as before, and its rows don't. It is
// asked for only where a transaction has ended since the last one, which the snapshot
// tells.
const quickQuery = `WITH RECURSIVE watched AS MATERIALIZED (
  SELECT c.oid, s.oid AS schema, s.xmin AS written FROM unnest($2::text[], $3::text[]) AS w(nspname, relname)
  CROSS JOIN LATERAL (SELECT s.oid, s.xmin FROM pg_namespace s WHERE s.nspname = w.nspname OFFSET 0) AS s
  CROSS JOIN LATERAL (SELECT c.oid FROM pg_class c WHERE c.relnamespace = s.oid AND c.relname = w.relname OFFSET 0) AS c
), member AS MATERIALIZED (
  SELECT oid, ''::text AS joined FROM watched
  UNION ALL SELECT i.inhrelid, i.written FROM member m
   CROSS JOIN LATERAL (SELECT i.inhrelid, concat_ws(' ', i.xmin, i.inhdetachpending) AS written FROM pg_inherits i WHERE i.inhparent = m.oid OFFSET 0) AS i
), pub AS MATERIALIZED (
  SELECT p.oid, p.xmin AS written FROM pg_publication p WHERE p.pubname = $1
), type AS (` + typesOfColumns + `)
SELECT left(md5(concat_ws(E'\n',
 (SELECT concat_ws(' ', oid, written) FROM pub),
 (SELECT string_agg(concat_ws(' ', r.oid, r.xmin), ',' ORDER BY r.oid) FROM pub JOIN pg_publication_rel r ON r.prpubid = pub.oid),
 %s
 (SELECT string_agg(concat_ws(' ', oid, schema, written), ',' ORDER BY oid) FROM watched),
 (SELECT string_agg(concat_ws(' ', m.oid, m.joined, (SELECT concat_ws(' ', c.xmin, (SELECT t.xmin FROM pg_type t WHERE t.oid = c.reltype)) FROM pg_class c WHERE c.oid = m.oid),
    (SELECT string_agg(concat_ws(' ', i.indexrelid, i.xmin), ' ' ORDER BY i.indexrelid) FROM pg_index i WHERE i.indrelid = m.oid AND (i.indisprimary OR i.indisreplident))),
    ',' ORDER BY m.oid, m.joined) FROM member m),
 (SELECT string_agg(concat_ws(' ', (SELECT string_agg(a.xmin::text, ' ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = w.oid AND a.attnum > 0),
    (SELECT string_agg(concat_ws(' ', d.oid, d.xmin), ' ' ORDER BY d.oid) FROM pg_attrdef d WHERE d.adrelid = w.oid),
    (SELECT string_agg(concat_ws(' ', p.oid, p.xmin), ' ' ORDER BY p.oid) FROM pg_policy p WHERE p.polrelid = w.oid)), ',' ORDER BY w.oid) FROM watched w),
 (SELECT string_agg(concat_ws(' ', y.oid, (SELECT string_agg(concat_ws(' ', e.oid, e.xmin), ' ' ORDER BY e.oid) FROM pg_enum e WHERE e.enumtypid = y.oid),
    (SELECT string_agg(a.xmin::text, ' ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = (SELECT t.typrelid FROM pg_type t WHERE t.oid = y.oid) AND a.attnum > 0)),
    ',' ORDER BY y.oid) FROM type y)
)), 16)`

// typesOfColumns are the types of the users by which columns of watched tables
// say what they say: base types of domains, elements of arrays, bounds of ranges and
// multiranges, columns of composites.
const typesOfColumns = `
  SELECT a.atttypid AS oid FROM watched w JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0 WHERE a.atttypid >= 16384
  UNION SELECT x.oid FROM type y CROSS JOIN LATERAL (
    SELECT unnest(ARRAY[t.typbasetype, t.typelem]) FROM pg_type t WHERE t.oid = y.oid
    UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = y.oid
    UNION ALL SELECT r.rngtypid FROM pg_range r WHERE r.rngmultitypid = y.oid
    UNION ALL SELECT a.atttypid FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 WHERE t.oid = y.oid AND t.typrelid <> 0
  ) x(oid) WHERE x.oid >= 16384`

// Schemas in publications came with PostgreSQL 15.
const (
	quickSchemas = `(SELECT string_agg(concat_ws(' ', s.oid, s.xmin), ',' ORDER BY s.oid) FROM pub JOIN pg_publication_namespace s ON s.pnpubid = pub.oid),`

	wholeSchemas = `(SELECT string_agg(concat_ws(' ', s.oid, s.xmin), ',' ORDER BY s.oid) FROM pub JOIN pg_publication_namespace s ON s.pnpubid = pub.oid
       WHERE s.pnnspid IN (SELECT c.relnamespace FROM member m JOIN pg_class c ON c.oid = m.oid WHERE m.n = w.n)),`
)

// PositionQuery asks how far the log is flushed, and for the snapshot of now;
// probeQuery does, and looks.
const (
	PositionQuery = `SELECT pg_current_wal_flush_lsn() || ' ' || pg_current_snapshot()`
	probeQuery    = PositionQuery + `, (` + quickQuery + `)`
)

// wholeQuery tells of each table apart what has changed: see [tableLook].
const wholeQuery = `WITH RECURSIVE pub AS MATERIALIZED (
  SELECT p.*, p.xmin AS written FROM pg_publication p WHERE p.pubname = $1
), watched AS MATERIALIZED (
  SELECT w.n, c.oid, s.oid AS schema FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS w(nspname, relname, n)
  JOIN pg_namespace s ON s.nspname = w.nspname JOIN pg_class c ON c.relnamespace = s.oid AND c.relname = w.relname
), member AS MATERIALIZED (
  SELECT n, oid, ''::text AS joined FROM watched
  UNION ALL SELECT m.n, i.inhrelid, concat_ws(' ', i.inhparent, i.xmin, i.inhdetachpending) FROM member m JOIN pg_inherits i ON i.inhparent = m.oid
), type AS (
  SELECT w.n, a.atttypid AS oid FROM watched w JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0 WHERE a.atttypid >= 16384
  UNION SELECT y.n, x.oid FROM type y CROSS JOIN LATERAL (
    SELECT unnest(ARRAY[t.typbasetype, t.typelem]) FROM pg_type t WHERE t.oid = y.oid
    UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = y.oid
    UNION ALL SELECT r.rngtypid FROM pg_range r WHERE r.rngmultitypid = y.oid
    UNION ALL SELECT a.atttypid FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 WHERE t.oid = y.oid AND t.typrelid <> 0
  ) x(oid) WHERE x.oid >= 16384
)
SELECT concat_ws(E'\n',
 coalesce((SELECT md5(concat_ws(' ', oid, written, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot)) FROM pub), ''),
 (SELECT string_agg(concat_ws(' ', w.n,
  -- published
  left(md5(concat_ws(' ', 
   (SELECT string_agg(concat_ws(' ', r.oid, r.xmin), ',' ORDER BY r.oid) FROM pub JOIN pg_publication_rel r ON r.prpubid = pub.oid JOIN member m ON m.oid = r.prrelid AND m.n = w.n),
   %s
   'published')), 16),
  -- meaning
  left(md5(concat_ws(E'\n',
   (SELECT string_agg(concat_ws(' ', c.oid, m.joined, c.relnamespace, c.relname, c.relkind, c.relpersistence, c.relispartition, c.relfilenode,
      c.relowner, c.relrowsecurity, c.relforcerowsecurity, t.xmin), ',' ORDER BY c.oid, m.joined)
    FROM member m JOIN pg_class c ON c.oid = m.oid LEFT JOIN pg_type t ON t.oid = c.reltype WHERE m.n = w.n),
   (SELECT string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attgenerated, a.attisdropped,
      CASE WHEN a.attgenerated <> '' THEN (SELECT concat_ws(' ', d.oid, d.xmin) FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) END), ',' ORDER BY a.attnum)
    FROM pg_attribute a WHERE a.attrelid = w.oid AND a.attnum > 0),
   (SELECT string_agg(concat_ws(' ', p.oid, p.xmin), ',' ORDER BY p.oid) FROM pg_policy p WHERE p.polrelid = w.oid),
   (SELECT string_agg(concat_ws(' ', e.oid, e.enumlabel, e.xmin), ',' ORDER BY e.oid) FROM type y JOIN pg_enum e ON e.enumtypid = y.oid WHERE y.n = w.n),
   (SELECT string_agg(concat_ws(' ', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attisdropped), ',' ORDER BY a.attrelid, a.attnum)
    FROM type y JOIN pg_type t ON t.oid = y.oid JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 WHERE y.n = w.n AND t.typrelid <> 0)
  )), 16),
  -- identity
  left(md5(concat_ws(E'\n',
   (SELECT string_agg(concat_ws(' ', c.oid, c.relreplident), ',' ORDER BY c.oid) FROM member m JOIN pg_class c ON c.oid = m.oid WHERE m.n = w.n),
   (SELECT string_agg(concat_ws(' ', i.indexrelid, i.indkey, i.indnkeyatts, i.indisprimary, i.indisreplident, i.indimmediate, i.indisvalid), ',' ORDER BY i.indexrelid)
    FROM member m JOIN pg_index i ON i.indrelid = m.oid WHERE m.n = w.n AND (i.indisprimary OR i.indisreplident)))), 16),
  -- written
  left(md5(concat_ws(E'\n',
   (SELECT string_agg(c.xmin::text, ',' ORDER BY c.oid) FROM member m JOIN pg_class c ON c.oid = m.oid WHERE m.n = w.n),
   (SELECT string_agg(a.xmin::text, ',' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = w.oid AND a.attnum > 0),
   (SELECT string_agg(a.xmin::text, ',' ORDER BY a.attrelid, a.attnum)
    FROM type y JOIN pg_type t ON t.oid = y.oid JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 WHERE y.n = w.n AND t.typrelid <> 0),
   (SELECT s.xmin FROM pg_namespace s WHERE s.oid = w.schema))), 16),
  -- harmless
  left(md5(concat_ws(E'\n',
   (SELECT string_agg(concat_ws(' ', c.relacl, c.reloptions, c.relhasindex, c.relhasrules, c.relhastriggers, c.relhassubclass, c.relchecks,
      c.reltablespace, c.relreplident, c.relam), ',' ORDER BY c.oid) FROM member m JOIN pg_class c ON c.oid = m.oid WHERE m.n = w.n),
   (SELECT string_agg(concat_ws(' ', a.attacl, a.attstattarget, a.atthasdef, a.attstorage, a.attcompression, a.attoptions, a.attnotnull,
      a.attidentity, a.attislocal, a.attinhcount), ',' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = w.oid AND a.attnum > 0),
   (SELECT string_agg(concat_ws(' ', d.oid, d.xmin), ',' ORDER BY d.oid) FROM pg_attrdef d WHERE d.adrelid = w.oid),
   (SELECT string_agg(concat_ws(' ', a.attacl, a.attstattarget, a.atthasdef, a.attstorage, a.attoptions, a.attnotnull, a.attidentity), ',' ORDER BY a.attrelid, a.attnum)
    FROM type y JOIN pg_type t ON t.oid = y.oid JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 WHERE y.n = w.n AND t.typrelid <> 0),
   (SELECT concat_ws(' ', s.nspacl, s.nspowner) FROM pg_namespace s WHERE s.oid = w.schema))), 16)
 ), E'\n' ORDER BY w.n) FROM watched w))`
