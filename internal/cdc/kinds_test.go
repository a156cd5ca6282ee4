package cdc

import (
	"strings"
	"testing"

	"walpurge/dev/testbed"
)

func TestKindsOfColumns(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE EXTENSION IF NOT EXISTS citext`, `CREATE TYPE mood AS ENUM ('sad', 'happy')`,
		`CREATE DOMAIN cents AS bigint`, `CREATE DOMAIN price AS cents CHECK (VALUE > 0)`, `CREATE DOMAIN code AS text COLLATE "C"`,
		`CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
		`CREATE COLLATION turkish (provider = icu, locale = 'tr-TR')`,
		`CREATE TYPE pair AS (a int, b int)`)
	columns := []struct{ definition, want string }{
		{"smallint", "int2"},
		{"integer", "int4"},
		{"bigint", "integer"},
		{"oid", "oid"},
		{"numeric", "numeric"},
		{"numeric(10,2)", "numeric"},
		{"uuid", "uuid"},
		{"boolean", "boolean"},
		{"date", "date"},
		{"timestamp", "timestamp"},
		{"timestamp(3)", "timestamp"},
		{"timestamptz", "timestamptz"},
		{`text COLLATE "C"`, "bytetext"},
		{`text COLLATE "POSIX"`, "bytetext"},
		{`text COLLATE ucs_basic`, "bytetext"},
		{`text COLLATE "en-x-icu"`, "text"},
		{`varchar(5) COLLATE "en-x-icu"`, "text"},
		{`varchar(5) COLLATE "C"`, "bytetext"},
		{`text COLLATE turkish`, "text"},
		{`char(5) COLLATE "C"`, "char"},
		{"char(5)", "char"},
		{"citext", "citext"},
		{"text COLLATE blind", "opaque"},
		{"char(5) COLLATE blind", "opaque"},
		{"mood", "enum"},
		{"price", "integer"},
		{"code", "bytetext"},
		{"name", "opaque"},
		{`"char"`, "opaque"},
		{"real", "opaque"},
		{"double precision", "opaque"},
		{"money", "opaque"},
		{"json", "opaque"},
		{"jsonb", "opaque"},
		{"xml", "opaque"},
		{"bytea", "opaque"},
		{"inet", "opaque"},
		{"interval", "opaque"},
		{"time", "opaque"},
		{"timetz", "opaque"},
		{"int[]", "opaque"},
		{"text[]", "opaque"},
		{"int4range", "opaque"},
		{"point", "opaque"},
		{"pair", "opaque"},
		{"bit(3)", "opaque"},
		{"tsvector", "opaque"},
		{"pg_lsn", "opaque"},
		{"int GENERATED ALWAYS AS (1 + 1) STORED", "opaque"},
	}
	w := Watch{Table: "public.every"}
	var body []string
	for i, col := range columns {
		name := "c" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		w.Columns = append(w.Columns, name)
		body = append(body, name+" "+col.definition)
	}
	c.exec("CREATE TABLE every (id int PRIMARY KEY, " + strings.Join(body, ", ") + ")")
	w.Conditions = w.Columns
	catalogue, err := Inspect(t.Context(), config(t, url, w))
	if err != nil {
		t.Fatal(err)
	}
	for i, col := range columns {
		if got := catalogue.Tables[0].Columns[i].Kind.String(); got != col.want {
			t.Errorf("%s is %s, want %s", col.definition, got, col.want)
		}
	}

	t.Run("folding in a locale with a dotted I", func(t *testing.T) {
		c.exec(`CREATE TABLE shop (id int PRIMARY KEY, a text COLLATE turkish, b text COLLATE "en-x-icu")`)
		w := Watch{Table: "public.shop", Columns: []string{"a", "b"}, Conditions: []string{"a", "b"}, Folded: []string{"a", "b"}}
		catalogue, err := Inspect(t.Context(), config(t, url, w))
		if err != nil {
			t.Fatal(err)
		}
		if a, b := catalogue.Tables[0].Columns[0].Kind.String(), catalogue.Tables[0].Columns[1].Kind.String(); a != "opaque" || b != "text" {
			t.Errorf("the kinds are %s and %s", a, b)
		}
	})
}

func TestKindsFollowTheDatabase(t *testing.T) {
	server := testbed.Server(t)
	admin := newClient(t, server.URL("postgres"))
	for _, test := range []struct {
		since                 int // major version
		options, text, citext string
	}{
		{14, "ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0", "bytetext", "citext"},
		{15, "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C' TEMPLATE template0", "text", "citext"},
		{15, "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR' LOCALE 'C' TEMPLATE template0", "text", "opaque"},
		{14, "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0", "bytetext", "citext"},
		{14, "ENCODING 'EUC_JP' LOCALE 'C' TEMPLATE template0", "opaque", "opaque"},
		{17, "ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' TEMPLATE template0", "bytetext", "citext"},
		{18, "ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST' TEMPLATE template0", "bytetext", "citext"},
	} {
		if admin.major() < test.since {
			continue
		}
		t.Run(test.options, func(t *testing.T) {
			admin.exec("CREATE DATABASE kinds " + test.options)
			defer admin.exec("DROP DATABASE kinds WITH (FORCE)")
			url := server.URL("kinds")
			newClient(t, url).exec("CREATE EXTENSION citext", "CREATE TABLE shop (id int PRIMARY KEY, a text, b citext)")
			cfg := config(t, url, Watch{Table: "public.shop", Columns: []string{"a", "b"}, Conditions: []string{"a", "b"}})
			cfg.Slot = "kinds"
			catalogue, err := Inspect(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if a, b := catalogue.Tables[0].Columns[0].Kind.String(), catalogue.Tables[0].Columns[1].Kind.String(); a != test.text || b != test.citext {
				t.Errorf("the kinds are %s and %s, want %s and %s", a, b, test.text, test.citext)
			}
		})
	}
}

func TestDottedI(t *testing.T) {
	for locale, want := range map[string]bool{
		"tr_TR.UTF-8": true, "tr": true, "az-Latn-AZ": true, "lt_LT": true, "Turkish_Turkey.1254": true,
		"": false, "C": false, "en_US.UTF-8": false, "trv_TW": false, "aze": false, "ltg": false,
	} {
		if got := dottedI(locale); got != want {
			t.Errorf("dottedI(%q) is %t", locale, got)
		}
	}
}
