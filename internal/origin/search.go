package origin

import (
	"errors"
	"maps"
	"net/url"
	"slices"
)

// searchView is the search form as it was filled in. All values are text, right or wrong.
type searchView struct {
	Values map[string]string
	Faults map[string]string // by field; nil when there is none
}

// searchFields are the parameters of a list page that the search form has a field for.
var searchFields = []string{"city", "type", "bedrooms", "min_price", "max_price", "sort"}

func searchOf(query url.Values) searchView {
	s := searchView{Values: map[string]string{"sort": string(Newest)}}
	for _, name := range searchFields {
		if v := query.Get(name); v != "" {
			s.Values[name] = v
		}
	}
	return s
}

// takes tells whether the form can show what err says: faults of its own fields and no others.
func (s *searchView) takes(err error) bool {
	var p *problem
	if !errors.As(err, &p) || len(p.Faults) == 0 {
		return false
	}
	faults := make(map[string]string)
	for _, f := range p.Faults {
		faults[f.Name] = f.Detail
	}
	for name := range maps.Keys(faults) {
		if !slices.Contains(searchFields, name) {
			return false
		}
	}
	s.Faults = faults
	return true
}

// Field gathers what the template needs to draw one input.
func (s searchView) Field(name, label string) fieldView {
	return fieldView{Name: name, Label: label, Value: s.Values[name], Fault: s.Faults[name]}
}
