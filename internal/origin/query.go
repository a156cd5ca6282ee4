package origin

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Sort is the order of a list page.
type Sort string

// The orders there are. Each ends in the id, so it is total.
const (
	Newest    Sort = "newest"
	PriceAsc  Sort = "price_asc"
	PriceDesc Sort = "price_desc"
)

// Bounds of paging.
const (
	MaxPage         = 1000
	MaxPageSize     = 100
	DefaultPageSize = 20
)

// Filter says which listings a list page shows. Zero values mean no condition.
type Filter struct {
	City     string
	Type     string // compared in lower case
	Bedrooms *int32 // exactly that many
	MinPrice *Price // inclusive
	MaxPrice *Price // inclusive
	Sort     Sort
	Page     int // from 1 to MaxPage
	PageSize int // from 1 to MaxPageSize
}

// parseFilter reads the parameters of a list page. An empty parameter counts as
// absent, an unknown one is none of our business, and one given twice is a
// fault because there is no telling which was meant.
func parseFilter(query url.Values) (Filter, []fault) {
	f := Filter{Sort: Newest, Page: 1, PageSize: DefaultPageSize}
	var faults []fault
	read := func(name string, set func(string) error) {
		values := query[name]
		if len(values) > 1 {
			faults = append(faults, fault{name, "is given more than once"})
			return
		}
		if len(values) == 0 || values[0] == "" {
			return
		}
		if err := set(values[0]); err != nil {
			faults = append(faults, fault{name, err.Error()})
		}
	}
	read("city", func(s string) error { f.City = s; return checkText(s) })
	read("type", func(s string) error { f.Type = s; return checkText(s) })
	read("bedrooms", func(s string) error {
		n, err := parseBedrooms(s)
		f.Bedrooms = &n
		return err
	})
	read("min_price", func(s string) error {
		p, err := ParsePrice(s)
		f.MinPrice = &p
		return err
	})
	read("max_price", func(s string) error {
		p, err := ParsePrice(s)
		f.MaxPrice = &p
		return err
	})
	read("sort", func(s string) error {
		f.Sort = Sort(s)
		if f.Sort != Newest && f.Sort != PriceAsc && f.Sort != PriceDesc {
			return fmt.Errorf("must be %s, %s or %s", Newest, PriceAsc, PriceDesc)
		}
		return nil
	})
	read("page", func(s string) (err error) { f.Page, err = parseCount(s, MaxPage); return err })
	read("page_size", func(s string) (err error) { f.PageSize, err = parseCount(s, MaxPageSize); return err })
	if len(faults) == 0 && f.MinPrice != nil && f.MaxPrice != nil && *f.MinPrice > *f.MaxPrice {
		faults = append(faults, fault{"min_price", "must not be greater than max_price"})
	}
	return f, faults
}

func parseCount(s string, limit int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || !allDigits(s) || n < 1 || n > limit {
		return 0, fmt.Errorf("must be a whole number from 1 to %d", limit)
	}
	return n, nil
}

// query is the inverse of parseFilter. Parameters at their defaults are left out, so
// that a page has one address.
func (f Filter) query() string {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("city", f.City)
	set("type", f.Type)
	if f.Bedrooms != nil {
		set("bedrooms", strconv.Itoa(int(*f.Bedrooms)))
	}
	if f.MinPrice != nil {
		set("min_price", f.MinPrice.String())
	}
	if f.MaxPrice != nil {
		set("max_price", f.MaxPrice.String())
	}
	if f.Sort != Newest {
		set("sort", string(f.Sort))
	}
	if f.Page > 1 {
		set("page", strconv.Itoa(f.Page))
	}
	if f.PageSize != DefaultPageSize {
		set("page_size", strconv.Itoa(f.PageSize))
	}
	return v.Encode()
}

// statement builds the one query of a list page. Only the conditions that are
// there stand in it, so that the planner sees which index fits. It asks for one row
// more than the page holds: that row says whether there is a next page.
//
// The rows of the page are chosen before anything else is looked up. Choosing needs only what
// stands in the indexes, so a deep page skips index entries and not rows: 12 ms instead of a
// 140 ms sort of the whole table for the last page of 100,000. It also tells PostgreSQL how few
// agents are wanted; without it, it reads them all into a hash table.
func (f Filter) statement() (string, []any) {
	var args []any
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	var where []string
	if f.City != "" {
		where = append(where, "city = "+arg(f.City))
	}
	if f.Type != "" {
		where = append(where, "property_type = lower("+arg(f.Type)+"::text)")
	}
	if f.Bedrooms != nil {
		where = append(where, "bedrooms = "+arg(*f.Bedrooms))
	}
	if f.MinPrice != nil {
		where = append(where, "price >= "+arg(*f.MinPrice))
	}
	if f.MaxPrice != nil {
		where = append(where, "price <= "+arg(*f.MaxPrice))
	}
	var b strings.Builder
	b.WriteString("select l.id, l.title, l.price, l.city, l.property_type, l.bedrooms, l.status, l.created_at, a.id as agent_id, a.name as agent_name from (\n")
	b.WriteString("  select id, " + f.Sort.column() + " from public.listings\n")
	if len(where) > 0 {
		b.WriteString("  where " + strings.Join(where, " and ") + "\n")
	}
	b.WriteString("  order by " + f.Sort.orderBy("") + " limit " + arg(f.PageSize+1) + " offset " + arg((f.Page-1)*f.PageSize) + "\n")
	b.WriteString(") chosen join public.listings l on l.id = chosen.id\n")
	b.WriteString("left join public.agents a on a.id = l.agent_id\n")
	b.WriteString("order by " + f.Sort.orderBy("chosen."))
	return b.String(), args
}

// column is what the order goes by, before the id.
func (s Sort) column() string {
	if s == PriceAsc || s == PriceDesc {
		return "price"
	}
	return "created_at"
}

func (s Sort) orderBy(table string) string {
	direction := " desc"
	if s == PriceAsc {
		direction = ""
	}
	return table + s.column() + direction + ", " + table + "id" + direction
}
