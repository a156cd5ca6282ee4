package cdc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/coherence"
)

// variety is a column of the differential test.
type variety struct {
	name, definition string
	casts            []string // what services bind its parameter as
	rows             []string // values of rows
	spellings        []string // what requests say beside them
	folds            string   // for lower and upper: the column as text
	exact, ordered   bool     // no value of a row is undecided; for ranges too
	unwatched        bool
}

var (
	long    = strings.Repeat("Ein sehr langer Satz. ", 120) // goes into the TOAST table
	numbers = []string{"1.5", "01.5", "+1.50", "-3.250", ".5", "5.", "1e2", "1E0", "15e-1", " 1.5", "1.5 ", "-0", "0.0", "00", "1,5", "1.555", "", "$1", "nan", "inf", "x"}
	whole   = []string{
		" 3", "3 ", "03", "+3", "-0", "1e0", "3.0", "0x3", "3_0", "", "-", "three", "٣", "32768", "-32769", "2147483648", "-2147483649",
		"4294967295", "4294967296", "9223372036854775808", "-9223372036854775809", "99999999999999999999",
	}
	words = []string{
		"Lagos", "LAGOS", "lagos", "Lagos ", " Lagos", "São Paulo", "SÃO PAULO", "são paulo", "Sa\u0303o Paulo", "İ", "i", "ı", "I", "ß", "SS", "ss", "ẞ",
		"\u212a", "K", "k", "ſ", "s", "S", "", " ", "O'Hare", `a\b`, "%", "NULL", "Ω", "ω", "\u2126",
	}
)

// varieties are all kinds of columns that there are rules for, and some that
// there are none for. The first is the key.
var varieties = []variety{
	{
		name: "id", exact: true, ordered: true, definition: "bigint PRIMARY KEY", casts: []string{"bigint"},
		rows: []string{"1", "2", "3", "5", "8", "13", "21", "34", "55", "89"}, spellings: whole,
	},
	{
		name: "tiny", exact: true, ordered: true, definition: "smallint", casts: []string{"smallint"},
		rows: []string{"-1", "0", "1", "2", "3", "32767"}, spellings: whole,
	},
	{
		name: "rooms", exact: true, ordered: true, definition: "integer", casts: []string{"integer"},
		rows: []string{"-1", "0", "1", "2", "3", "42", "2147483647", "-2147483648"}, spellings: append([]string{" 42", "042", "+42", "4.2e1"}, whole...),
	},
	{
		name: "ref", exact: true, ordered: true, definition: "oid", casts: []string{"oid"},
		rows: []string{"0", "1", "3", "4294967295", "4294967294"}, spellings: append([]string{"-1", "-2"}, whole...),
	},
	{
		name: "price", definition: "numeric(12,2)", casts: []string{"numeric"},
		rows: []string{"0", "1.5", "1.55", "10", "100", "-3.25", "-4.5", "-10", "99.99", "NaN"}, spellings: numbers,
	},
	{
		name: "amount", definition: "numeric", casts: []string{"numeric"},
		rows: []string{"0", "1.5", "1.50", "1.500", "100", "-3.25", "-4.5", "-10", "0.0000001", "-0.05", "NaN", "123456789012345678901234567890.5"}, spellings: numbers,
	},
	{
		name: "uid", exact: true, ordered: true, definition: "uuid", casts: []string{"uuid"},
		rows: []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "b1eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"},
		spellings: []string{
			"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "{B1EEBC999C0B4EF8BB6D6BB9BD380A11}",
			"a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", "a0-eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99--9c0b4ef8bb6d6bb9bd380a11", "-a0eebc999c0b4ef8bb6d6bb9bd380a11",
			"a0eebc999c0b4ef8bb6d6bb9bd380a11-", "{a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a11}", "{{a0eebc999c0b4ef8bb6d6bb9bd380a11}}",
			" a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99", "", "zz",
		},
	},
	{
		name: "open", exact: true, ordered: true, definition: "boolean", casts: []string{"boolean"}, rows: []string{"t", "f"},
		spellings: []string{"TRUE", "true", "tru", "yes", "YES", "y", "n", "no", "on", "of", "o", "off", "1", "0", " true ", "T", "ja", "2", ""},
	},
	{
		name: "day", definition: "date", casts: []string{"date"},
		rows: []string{"2024-02-28", "2024-02-29", "2024-03-01", "0001-01-01", "0044-03-15 BC", "infinity", "-infinity", "12345-06-07"},
		spellings: []string{
			"20240229", "29.02.2024", "02/03/2024", "Feb 29 2024", "2024-2-29", "2024-02-30", "2024-060", "today", " 2024-02-29", "2024-02-29 13:00", "2024-02-29T13:00:00Z",
			"2024-02-29 BC", "0000-01-01", "10000-01-01", "", "soon", "J2460370",
		},
	},
	{
		name: "at", definition: "timestamp", casts: []string{"timestamp"},
		rows: []string{"2024-02-29 13:00:00", "2024-02-29 13:00:00.5", "2024-02-29 13:00:00.000001", "2024-02-29 00:00:00", "2024-03-01 00:00:00", "infinity", "0044-03-15 12:00:00 BC"},
		spellings: []string{
			"2024-02-29T13:00:00", "2024-02-29T13:00", "2024-02-29 13:00", "2024-02-29 13:00:00.500", "2024-02-29 13:00:00,5", "2024-02-29 13:00:00.0000004", "2024-02-29 13:00:00.0000006",
			"2024-02-29 12:59:59.9999999", "2024-02-29 24:00:00", "2024-02-29 12:59:60", "2024-02-29 1:00 PM", "2024-02-29", "2024-02-29 13:00:00+02", "2024-02-29T13:00:00Z",
			"2024-02-29 9:00:00", "0000-01-01 00:00:00", "2024-02-30 13:00:00", "epoch", "now", "", "x",
		},
	},
	{
		name: "instant", definition: "timestamptz", casts: []string{"timestamptz"},
		rows: []string{"2024-02-29 13:00:00+00", "2024-02-29 13:00:00.5+00", "2024-02-28 23:00:00+00", "2024-03-01 00:00:00+00", "infinity", "0001-01-01 00:00:00+00"},
		spellings: []string{
			"2024-02-29T13:00:00Z", "2024-02-29T14:00:00+01:00", "2024-02-29 18:30:00+0530", "2024-02-29T18:30:00+05:30", "2024-02-29 15:00:00+02", "2024-02-29 13:00:00.50Z", "2024-02-29 13:00:00,5Z",
			"2024-03-01 04:59:00+15:59", "2024-03-01 05:00:00+16", "2024-03-01 09:00:00+20:00", "2024-02-29 14:00:00+00:60", "2024-02-29 14:00:00 Europe/Berlin", "2024-02-29 13:00:00 UTC",
			"2024-02-29 13:00:00", "2024-02-29T13:00Z", "2024-02-29", "0000-01-01 00:00:00Z", "epoch", "", "x",
		},
	},
	{name: "city", exact: true, definition: "text", casts: []string{"text"}, rows: words, spellings: []string{"Atlantis"}, folds: "city"},
	{name: "code", exact: true, ordered: true, definition: `text COLLATE "C"`, casts: []string{"text"}, rows: words, spellings: []string{"Atlantis"}, folds: "code"},
	{name: "place", exact: true, definition: `text COLLATE "en-x-icu"`, casts: []string{"text"}, rows: words, folds: "place"},
	{name: "loose", definition: `text COLLATE blind`, casts: []string{"text"}, rows: words, folds: "loose"},
	{name: "yer", definition: `text COLLATE turkish`, casts: []string{"text"}, rows: words, folds: "yer"},
	{name: "kind", exact: true, definition: "varchar(12)", casts: []string{"varchar", "text"}, rows: words, folds: "kind"},
	{name: "pad", exact: true, definition: "char(12)", casts: []string{"bpchar", "bpchar", "text"}, rows: words, spellings: []string{"Lagos   ", "k       ", "K\t"}, folds: "pad"},
	{
		name: "story", exact: true, definition: "text", casts: []string{"text"}, rows: []string{long + "A", long + "B", "short", "SHORT"},
		spellings: []string{strings.ToLower(long + "A")}, folds: "story",
	},
	{
		name: "mood", exact: true, definition: "mood", casts: []string{"mood"}, rows: []string{"sad", "ok", "Happy", "happy", "São"},
		spellings: []string{"SAD", "sad ", "furious", ""}, folds: "mood::text",
	},
	{name: "cents", exact: true, ordered: true, definition: "cents", casts: []string{"integer"}, rows: []string{"0", "1", "2", "3", "30"}, spellings: append([]string{"030"}, whole...)},
	{name: "score", definition: "float8", casts: []string{"float8"}, rows: []string{"0", "1.5", "NaN", "-1e300", "Infinity"}, spellings: numbers},
	{name: "doc", definition: "jsonb", casts: []string{"jsonb"}, rows: []string{"{}", "1", "1.0", `{"a": 1}`, "null"}, spellings: []string{`{ "a":1 }`, "1.00", "{"}},
	{name: "twice", definition: "integer GENERATED ALWAYS AS (cents * 2) STORED", casts: []string{"integer"}, spellings: []string{"0", "2", "4", "+6", "x"}},
	{name: "note", definition: "text", rows: []string{"a", "b", "c"}, unwatched: true},
}

// citext is the last one, where the server has the extension.
var citext = variety{name: "blindly", definition: "citext", casts: []string{"citext", "citext", "text"}, rows: words, folds: "blindly"}

// declared is a template and what a service does with it.
type declared struct {
	coherence.Template
	list []int // the columns that its pages show; nil: all
}

// part is a template with what one request says.
type part struct {
	declared *declared
	equal    []coherence.Operand
	ranges   []coherence.Bounds
	where    []string // the conditions of the service's query
	odd      bool     // some condition is not exact, so that needless purges are to be expected
}

// page is a response that depends on one or two parts.
type page struct {
	parts  []part
	deps   []coherence.Dependency
	handle *coherence.Handle
	result string
}

// Evicted makes it a coherence.Holder.
func (p *page) Evicted(coherence.Cause) {}

// odd tells whether some part is.
func (p *page) odd() bool {
	return slices.ContainsFunc(p.parts, func(q part) bool { return q.odd })
}

// generator makes random pages. castable says what PostgreSQL reads as a type.
type generator struct {
	*rand.Rand
	columns  []variety // the watched ones, in the guard's order
	castable func(cast, value string) bool
}

// oneIn is true once in n times.
func (g *generator) oneIn(n int) bool { return g.IntN(n) == 0 }

func pick[T any](g *rand.Rand, of []T) T { return of[g.IntN(len(of))] }

// declare makes a random template. A column list counts the columns of the
// conditions too, as the proxy's does.
func (g *generator) declare() *declared {
	d := &declared{}
	for range pick(g.Rand, []int{0, 1, 1, 1, 1, 2, 2, 2, 3}) {
		e := coherence.Equal{Column: g.IntN(len(g.columns))}
		if g.columns[e.Column].folds != "" {
			e.Fold = pick(g.Rand, []coherence.Fold{coherence.NoFold, coherence.NoFold, coherence.Lower, coherence.Upper})
		}
		if !slices.Contains(d.Equal, e) {
			d.Equal = append(d.Equal, e)
		}
	}
	if g.oneIn(2) {
		d.Ranges = append(d.Ranges, g.IntN(len(g.columns)))
	}
	if g.oneIn(2) {
		for range 1 + g.IntN(5) {
			d.list = append(d.list, g.IntN(len(g.columns)))
		}
		for _, c := range slices.Concat(d.list, d.Ranges) {
			d.Counts = d.Counts.With(c)
		}
		for _, e := range d.Equal {
			d.Counts = d.Counts.With(e.Column)
		}
	}
	return d
}

// request makes a random request of a template.
func (g *generator) request(d *declared) part {
	p := part{declared: d}
	for _, e := range d.Equal {
		operand, where, odd := g.equality(e)
		p.equal, p.odd = append(p.equal, operand), p.odd || odd
		if where != "" {
			p.where = append(p.where, where)
		}
	}
	for _, c := range d.Ranges {
		var b coherence.Bounds
		for _, end := range []struct {
			operand  *coherence.Operand
			operator string
		}{{&b.From, " >= "}, {&b.To, " <= "}} {
			if g.oneIn(3) {
				continue
			}
			*end.operand = coherence.Operand{Present: true, Values: g.values(&g.columns[c], coherence.NoFold, pick(g.Rand, []int{1, 1, 1, 2}))}
			// A service reads one of a repeated parameter, which one is its business.
			v, cast := pick(g.Rand, end.operand.Values), pick(g.Rand, g.columns[c].casts)
			p.odd = p.odd || !g.columns[c].ordered || len(end.operand.Values) > 1 || !g.columns[c].usual(v)
			if g.castable(cast, v) {
				p.where = append(p.where, g.columns[c].name+end.operator+catalogue.QuoteText(v)+"::"+cast)
			}
		}
		p.ranges = append(p.ranges, b)
	}
	return p
}

// equality makes the operand of one condition, and the condition that a
// service makes of it: it looks at all the values or at one, and ignores what
// PostgreSQL would refuse, or all when it refuses one. odd says that the two
// need not agree.
func (g *generator) equality(e coherence.Equal) (op coherence.Operand, where string, odd bool) {
	if g.oneIn(8) {
		return op, "", false
	}
	col := &g.columns[e.Column]
	left, cast := col.name, pick(g.Rand, col.casts)
	if e.Fold != coherence.NoFold {
		left, cast = fmt.Sprintf("%s(%s)", e.Fold, col.folds), "text"
	}
	op = coherence.Operand{Present: true, Values: g.values(col, e.Fold, pick(g.Rand, []int{1, 1, 1, 1, 2, 3, 5, 18}))}
	read := op.Values
	switch g.IntN(6) {
	case 0:
		read = read[:1]
	case 1:
		read = read[len(read)-1:]
	}
	odd = !col.exact || e.Fold != coherence.NoFold || len(read) < len(op.Values) || len(read) > 16 ||
		slices.ContainsFunc(op.Values, func(v string) bool { return !col.usual(v) })
	strict := g.oneIn(2)
	var alternatives []string
	for _, v := range read {
		switch {
		case g.castable(cast, v):
			alternatives = append(alternatives, left+" = "+catalogue.QuoteText(v)+"::"+cast)
		case strict:
			return op, "", odd
		}
	}
	if len(alternatives) == 0 {
		return op, "", odd
	}
	return op, "(" + strings.Join(alternatives, " OR ") + ")", odd
}

// usual tells whether v is spelled as rows are.
func (v *variety) usual(value string) bool { return slices.Contains(v.rows, value) }

// values are what a request says for a column.
func (g *generator) values(col *variety, fold coherence.Fold, n int) []string {
	var values []string
	for range n {
		from := col.rows
		if len(from) == 0 || len(col.spellings) > 0 && g.oneIn(3) {
			from = col.spellings
		}
		v := pick(g.Rand, from)
		if fold != coherence.NoFold && !g.oneIn(4) {
			if v = strings.ToLower(v); fold == coherence.Upper {
				v = strings.ToUpper(v)
			}
		}
		values = append(values, v)
	}
	return values
}

// query is what the service asks for.
func (p *part) query(columns []variety) string {
	shown := "*"
	if p.declared.list != nil {
		shown = strings.Join(p.names(columns), ", ")
	}
	return "SELECT " + shown + " FROM every WHERE " + p.condition()
}

func (p *part) names(columns []variety) []string {
	var names []string
	for _, c := range p.declared.list {
		names = append(names, columns[c].name)
	}
	return names
}

func (p *part) condition() string {
	if len(p.where) == 0 {
		return "true"
	}
	return strings.Join(p.where, " AND ")
}

// digest is an expression over all rows, those of columns plus a hash of the
// whole row, that says what the query returns, blind to the order.
func (p *part) digest(columns []variety) string {
	row := "hash"
	if p.declared.list != nil {
		row = "hashtextextended(ROW(" + strings.Join(p.names(columns), ", ") + ")::text, 0)"
	}
	return "coalesce(sum(" + row + ") FILTER (WHERE " + p.condition() + ")::text, '')"
}

// describe writes the declaration and the request.
func (p *part) describe(columns []variety) string {
	var b strings.Builder
	for i, e := range p.declared.Equal {
		fmt.Fprintf(&b, " %s(%s)=%q", e.Fold, columns[e.Column].name, p.equal[i].Values)
	}
	for i, c := range p.declared.Ranges {
		fmt.Fprintf(&b, " %s from %q to %q", columns[c].name, p.ranges[i].From.Values, p.ranges[i].To.Values)
	}
	if p.declared.list != nil {
		fmt.Fprintf(&b, " columns %v", p.names(columns))
	}
	return b.String()
}
