package origin

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestFilterParameters(t *testing.T) {
	defaults := "sort=newest page=1 size=20"
	for _, test := range []struct{ query, want string }{
		{"", defaults},
		{"city=&type=&bedrooms=&min_price=&max_price=&sort=&page=&page_size=", defaults},
		{"utm_source=mail", defaults},
		{"city=S%C3%A3o+Paulo&type=Villa", "city=São Paulo type=Villa " + defaults},
		{"bedrooms=0&min_price=1&max_price=2.50", "bedrooms=0 min=1.00 max=2.50 " + defaults},
		{"min_price=5&max_price=5", "min=5.00 max=5.00 " + defaults},
		{"sort=price_desc&page=1000&page_size=100", "sort=price_desc page=1000 size=100"},
		{"page=0", "fault page"},
		{"page=1001", "fault page"},
		{"page=+1", "fault page"},
		{"page=1.5", "fault page"},
		{"page_size=0", "fault page_size"},
		{"page_size=101", "fault page_size"},
		{"page=99999999999999999999", "fault page"},
		{"bedrooms=-1", "fault bedrooms"},
		{"bedrooms=two", "fault bedrooms"},
		{"bedrooms=2147483648", "fault bedrooms"},
		{"min_price=1e3", "fault min_price"},
		{"min_price=2&max_price=1", "fault min_price"},
		{"sort=oldest", "fault sort"},
		{"city=a%00b", "fault city"},
		{"type=%ff", "fault type"},
		{"city=Lagos&city=Accra", "fault city"},
		{"page=x&bedrooms=x", "fault bedrooms, page"},
	} {
		values, err := url.ParseQuery(test.query)
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(parseFilter(values)); got != test.want {
			t.Errorf("%q: %s; want %s", test.query, got, test.want)
		}
	}
}

func describe(f Filter, faults []fault) string {
	if len(faults) > 0 {
		var names []string
		for _, x := range faults {
			names = append(names, x.Name)
		}
		return "fault " + strings.Join(names, ", ")
	}
	var b strings.Builder
	if f.City != "" {
		fmt.Fprintf(&b, "city=%s ", f.City)
	}
	if f.Type != "" {
		fmt.Fprintf(&b, "type=%s ", f.Type)
	}
	if f.Bedrooms != nil {
		fmt.Fprintf(&b, "bedrooms=%d ", *f.Bedrooms)
	}
	if f.MinPrice != nil {
		fmt.Fprintf(&b, "min=%s ", f.MinPrice)
	}
	if f.MaxPrice != nil {
		fmt.Fprintf(&b, "max=%s ", f.MaxPrice)
	}
	fmt.Fprintf(&b, "sort=%s page=%d size=%d", f.Sort, f.Page, f.PageSize)
	return b.String()
}

func TestFilterSurvivesItsOwnAddress(t *testing.T) {
	for _, query := range []string{
		"", "bedrooms=0", "city=S%C3%A3o+Paulo&max_price=2.50&page=3&page_size=50&sort=price_asc&type=villa", "city=%26%3D%3B%22",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		filter, faults := parseFilter(values)
		if len(faults) > 0 || filter.query() != query {
			t.Errorf("%q became %q, faults %v", query, filter.query(), faults)
		}
	}
}
