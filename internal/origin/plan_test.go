package origin

import (
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5"
)

// planNode is one step of EXPLAIN (FORMAT JSON).
type planNode struct {
	Type     string     `json:"Node Type"`
	Relation string     `json:"Relation Name"`
	Index    string     `json:"Index Name"`
	Rows     float64    `json:"Plan Rows"`
	Cost     float64    `json:"Total Cost"`
	Plans    []planNode `json:"Plans"`
}

func (n planNode) walk(visit func(planNode)) {
	visit(n)
	for _, child := range n.Plans {
		child.walk(visit)
	}
}

func explainPlan(t *testing.T, conn *pgx.Conn, sql string, args []any) (planNode, string) {
	t.Helper()
	var text string
	// CacheDescribe, as Store.List does, so that this is the plan that requests get.
	args = append([]any{pgx.QueryExecModeCacheDescribe}, args...)
	if err := conn.QueryRow(t.Context(), "explain (format json) "+sql, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var plans []struct{ Plan planNode }
	if err := json.Unmarshal([]byte(text), &plans); err != nil {
		t.Fatal(err)
	}
	return plans[0].Plan, text
}

// listShapes are all combinations of conditions and orders, with common and
// with rare values.
func listShapes() []Filter {
	pointer := func(p Price) *Price { return &p }
	two, eight := int32(2), int32(8)
	var all []Filter
	for _, sort := range []Sort{Newest, PriceAsc, PriceDesc} {
		for _, city := range []string{"", "Lagos", "Reykjavík", "Nowhere"} {
			for _, kind := range []string{"", "Apartment", "land", "castle"} {
				for _, bedrooms := range []*int32{nil, &two, &eight} {
					for _, prices := range [][2]*Price{
						{nil, nil},
						{pointer(100_000_00), nil},
						{nil, pointer(60_000_00)},
						{pointer(200_000_00), pointer(220_000_00)},
						{pointer(0), pointer(MaxPrice)},
					} {
						for _, page := range []int{1, 3} {
							all = append(all, Filter{
								City: city, Type: kind, Bedrooms: bedrooms, MinPrice: prices[0], MaxPrice: prices[1],
								Sort: sort, Page: page, PageSize: DefaultPageSize,
							})
						}
					}
				}
			}
		}
	}
	return all
}

// planDatabase has enough rows that reading all of a table is never the right
// plan: a fifth of the listings of a full seed and all of its 1,000 agents, since those that come with
// the listings would fit into three blocks.
func planDatabase(t *testing.T, listings int) *pgx.Conn {
	t.Helper()
	conn, _ := database(t, listings)
	_, err := conn.Exec(t.Context(), "insert into agents (name) select 'agent ' || n from generate_series(1, 1000 - (select count(*) from agents)) n; analyze agents")
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestEveryListQueryUsesAnIndex(t *testing.T) {
	const listings = 20_000
	conn := planDatabase(t, listings)
	for _, f := range listShapes() {
		sql, args := f.statement()
		plan, text := explainPlan(t, conn, sql, args)
		plan.walk(func(n planNode) {
			if n.Type == "Seq Scan" {
				t.Errorf("%q reads all of %s", f.query(), n.Relation)
			}
			// Sorting the few rows that a narrow condition leaves is fine. Sorting a good part of the
			// table means that no index gave the order.
			if (n.Type == "Sort" || n.Type == "Incremental Sort") && n.Plans[0].Rows > listings/20 {
				t.Errorf("%q sorts %.0f rows:\n%s", f.query(), n.Plans[0].Rows, text)
			}
		})
		if t.Failed() {
			t.Fatalf("%s\n%v\n%s", sql, args, text)
		}
	}
}

func TestDeepPagesSkipIndexEntriesNotRows(t *testing.T) {
	const listings = 20_000
	conn := planDatabase(t, listings)
	three := int32(3)
	for _, sort := range []Sort{Newest, PriceAsc, PriceDesc} {
		for _, f := range []Filter{{}, {City: "Lagos"}, {Type: "apartment"}, {Bedrooms: &three}, {City: "Lagos", Type: "apartment"}} {
			f.Sort, f.Page, f.PageSize = sort, 20, MaxPageSize
			sql, args := f.statement()
			plan, text := explainPlan(t, conn, sql, args)
			found := false
			plan.walk(func(n planNode) {
				found = found || n.Type == "Index Only Scan"
				if n.Type == "Seq Scan" {
					t.Errorf("%q reads all of %s", f.query(), n.Relation)
				}
			})
			if !found {
				t.Errorf("%q reads rows to skip them:\n%s", f.query(), text)
			}
		}
	}
}

func TestCountsReadAnIndexAndNoRow(t *testing.T) {
	conn := planDatabase(t, 20_000)
	front, args := frontStatement()
	for sql, args := range map[string][]any{countsByCity: {maxCounts}, front: args} {
		plan, text := explainPlan(t, conn, sql, args)
		found := false
		plan.walk(func(n planNode) {
			found = found || n.Type == "Index Only Scan"
			if n.Type == "Seq Scan" {
				t.Errorf("%s reads all of %s:\n%s", sql, n.Relation, text)
			}
		})
		if !found {
			t.Errorf("%s counts rows:\n%s", sql, text)
		}
	}
}

func TestSingleRowsComeThroughTheirKey(t *testing.T) {
	conn := planDatabase(t, 20_000)
	for _, sql := range []string{
		listingByID,
		agentByID,
		"update public.agents set name = 'n' where id = $1",
		"delete from public.listings where id = $1",
		"update public.listings set price = 1 where id = $1",
		// What deleting an agent makes the foreign key do.
		"update public.listings set agent_id = null where agent_id = $1",
	} {
		plan, text := explainPlan(t, conn, sql, []any{int64(42)})
		plan.walk(func(n planNode) {
			if n.Type == "Seq Scan" {
				t.Errorf("%s reads all of %s:\n%s", sql, n.Relation, text)
			}
		})
	}
}

func TestAnAgentsPageWalksTheAgentsListings(t *testing.T) {
	conn := planDatabase(t, 20_000)
	// One agent has so many listings that sorting them would be the wrong plan.
	if _, err := conn.Exec(t.Context(), "update listings set agent_id = 1 where id <= 5000"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "analyze listings"); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int{0, 200} {
		plan, text := explainPlan(t, conn, agentListings, []any{int64(1), DefaultPageSize + 1, offset})
		walked := false
		plan.walk(func(n planNode) {
			walked = walked || n.Index == "listings_agent_newest"
			if n.Type == "Seq Scan" {
				t.Errorf("offset %d reads all of %s:\n%s", offset, n.Relation, text)
			}
			if n.Type == "Sort" && n.Plans[0].Rows > 10*DefaultPageSize {
				t.Errorf("offset %d sorts %.0f rows:\n%s", offset, n.Plans[0].Rows, text)
			}
		})
		if !walked {
			t.Errorf("offset %d doesn't use the index:\n%s", offset, text)
		}
	}
}
