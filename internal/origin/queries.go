package origin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/coherence"
	"walpurge/internal/querycache"
)

// CityCount is how many listings there are in a city.
type CityCount struct {
	City     string `json:"city"`
	Listings int64  `json:"listings"`
}

// Front is what the front page shows.
type Front struct {
	Page   Page
	Counts []CityCount
}

// queries are the reads that pages are made of.
type queries struct {
	list    func(context.Context, Filter) (Page, error)
	listing func(context.Context, int64) (Listing, error)
	counts  func(context.Context, struct{}) ([]CityCount, error)
	front   func(context.Context, struct{}) (Front, error)
}

// Cache makes the named queries come from c where they may. It is to be called
// before the first request.
func (s *Store) Cache(c *querycache.Cache) (err error) {
	if s.queries.list, err = querycache.Attach(c, s.listQuery()); err != nil {
		return fmt.Errorf("attach query list: %w", err)
	}
	if s.queries.listing, err = querycache.Attach(c, s.listingQuery()); err != nil {
		return fmt.Errorf("attach query listing: %w", err)
	}
	if s.queries.counts, err = querycache.Attach(c, s.countsQuery()); err != nil {
		return fmt.Errorf("attach query counts: %w", err)
	}
	if s.queries.front, err = querycache.Attach(c, s.frontQuery()); err != nil {
		return fmt.Errorf("attach query front: %w", err)
	}
	return nil
}

// CachedTables are the tables that the named queries depend on.
func (s *Store) CachedTables() []querycache.Table {
	return querycache.Tables(s.listQuery(), s.listingQuery(), s.countsQuery(), s.frontQuery())
}

// The tables as the log spells them.
const (
	listingsTable = "public.listings"
	agentsTable   = "public.agents"
)

// listQuery is the list of all listings, a city's page, and every other filter.
// Its argument's key is the address of the page, which parseFilter reads back.
func (s *Store) listQuery() querycache.Query[Filter, Page] {
	return querycache.Query[Filter, Page]{
		Name: "list", Key: Filter.query, Load: s.List,
		Depends: []querycache.Source[Filter]{
			{
				Table:   listingsTable,
				Columns: itemColumns(),
				Where: []querycache.Where[Filter]{
					{Column: "city", Is: func(f Filter) coherence.Operand { return given(f.City) }},
					{Column: "property_type", Is: func(f Filter) coherence.Operand { return lowered(f.Type) }},
					{Column: "bedrooms", Is: func(f Filter) coherence.Operand {
						if f.Bedrooms == nil {
							return coherence.Operand{}
						}
						return querycache.Is(strconv.Itoa(int(*f.Bedrooms)))
					}},
				},
				Between: []querycache.Between[Filter]{
					{Column: "price", Bounds: func(f Filter) coherence.Bounds {
						return coherence.Bounds{From: price(f.MinPrice), To: price(f.MaxPrice)}
					}},
				},
			},
		},
		Shows: []querycache.Rows[Page]{shownAgents(Page.agents, "name")},
	}
}

// listingQuery is one listing, by id. That there is none is not kept.
func (s *Store) listingQuery() querycache.Query[int64, Listing] {
	return querycache.Query[int64, Listing]{
		Name: "listing", Key: func(id int64) string { return strconv.FormatInt(id, 10) }, Load: s.Listing,
		Depends: []querycache.Source[int64]{
			{Table: listingsTable, Where: []querycache.Where[int64]{
				{Column: "id", Is: func(id int64) coherence.Operand { return querycache.Is(strconv.FormatInt(id, 10)) }},
			}},
		},
		Shows: []querycache.Rows[Listing]{shownAgents(Listing.agents, "name", "phone", "email")},
	}
}

// countsQuery is how many listings there are in each city.
func (s *Store) countsQuery() querycache.Query[struct{}, []CityCount] {
	return querycache.Query[struct{}, []CityCount]{
		Name: "counts", Key: func(struct{}) string { return "" }, Load: s.counts,
		Depends: []querycache.Source[struct{}]{{Table: listingsTable, Columns: []string{"city"}}},
	}
}

// frontQuery is the front page, in one statement: newest listings and counts.
func (s *Store) frontQuery() querycache.Query[struct{}, Front] {
	return querycache.Query[struct{}, Front]{
		Name: "front", Key: func(struct{}) string { return strconv.Itoa(homeItems) }, Load: s.front,
		Depends: []querycache.Source[struct{}]{{Table: listingsTable, Columns: itemColumns()}},
		Shows: []querycache.Rows[Front]{
			shownAgents(func(f Front) agentsShown { return f.Page.agents() }, "name"),
		},
	}
}

// shownAgents are the agents that a result shows, with those columns. A listing names its
// agent in agent_id, so the listings tell which agents there are to show.
func shownAgents[R any](agents func(R) agentsShown, columns ...string) querycache.Rows[R] {
	return querycache.Rows[R]{
		Table: agentsTable, Columns: columns, By: "id",
		Values: func(result R) []string { return agents(result).ids() },
	}
}

// itemColumns are those of a listing that show in lists or choose what does.
func itemColumns() []string {
	return []string{"id", "title", "price", "city", "property_type", "bedrooms", "status", "agent_id", "created_at"}
}

// given is a condition unless the text is empty, which is how filters say none.
func given(text string) coherence.Operand {
	if text == "" {
		return coherence.Operand{}
	}
	return querycache.Is(text)
}

// lowered is lower(text) as every locale of the database has it: beyond ASCII
// they differ, so there it is no condition, which matches more.
func lowered(text string) coherence.Operand {
	if strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 }) {
		return coherence.Operand{}
	}
	return given(strings.ToLower(text))
}

func price(p *Price) coherence.Operand {
	if p == nil {
		return coherence.Operand{}
	}
	return querycache.Is(p.String())
}

// maxCounts is how many cities are counted: what a city is called is up to
// whoever writes a listing.
const maxCounts = 100

// countsByCity reads an index and no row: the cities with the most listings.
const countsByCity = "select city, count(*) as listings from public.listings group by city order by count(*) desc, city limit $1"

// counts are the listings by city, in the order of the cities' names.
func (s *Store) counts(ctx context.Context, _ struct{}) ([]CityCount, error) {
	rows, err := s.pool.Query(ctx, countsByCity, maxCounts)
	if err != nil {
		return nil, fmt.Errorf("count listings: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[CityCount])
	if err != nil {
		return nil, fmt.Errorf("count listings: %w", err)
	}
	sortByName(all)
	return all, nil
}

func sortByName(all []CityCount) {
	slices.SortFunc(all, func(a, b CityCount) int { return cmp.Compare(a.City, b.City) })
}

// frontFilter is the list of the front page.
func frontFilter() Filter { return Filter{Sort: Newest, Page: 1, PageSize: homeItems} }

// frontStatement is the list's, with the counts in the first row: both come
// from one snapshot. Without a listing there is nothing to count.
func frontStatement() (string, []any) {
	sql, args := frontFilter().statement()
	counts := strings.Replace(countsByCity, "$1", "$"+strconv.Itoa(len(args)+1), 1)
	return "with list as materialized (\n" + sql + ")\nselect list.*, case when row_number() over () = 1 then (select json_agg(c) from (" + counts + ") c) end from list", append(args, maxCounts)
}

func (s *Store) front(ctx context.Context, _ struct{}) (Front, error) {
	f := frontFilter()
	front := Front{Page: Page{Page: f.Page, PageSize: f.PageSize, Items: []Item{}}}
	sql, args := frontStatement()
	rows, err := s.pool.Query(ctx, sql, args...)
	if err == nil {
		front.Page.Items, err = pgx.AppendRows(front.Page.Items, rows, func(row pgx.CollectableRow) (Item, error) {
			var counts []CityCount
			item, err := scanItem(row, &counts)
			if counts != nil {
				front.Counts = counts
			}
			return item, err
		})
	}
	if err != nil {
		return Front{}, fmt.Errorf("read the front page: %w", err)
	}
	sortByName(front.Counts)
	front.Page.trim()
	return front, nil
}
