package origin

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// dependsOn is the field in which a page says which rows it shows beside those
// that its address tells: a structured-field list (RFC 9651) such as
//
//	Depends-On: agents;id=7, agents;id=9
//
// The JSON needs no such field: a cache reads the same ids in the body.
const dependsOn = "Depends-On"

// agentsShown are the agents that a page or a query's result names, each once.
type agentsShown []int64

func (s *agentsShown) add(id int64) {
	if !slices.Contains(*s, id) { // a page has a hundred at most
		*s = append(*s, id)
	}
}

// ids are the agents' as text.
func (s agentsShown) ids() []string {
	ids := make([]string, len(s))
	for i, id := range s {
		ids[i] = strconv.FormatInt(id, 10)
	}
	return ids
}

// declare sets the field. A page that shows no agent has none: an empty list
// is not sent (RFC 9651 section 3.1).
func (s agentsShown) declare(h http.Header) {
	if len(s) == 0 {
		return
	}
	slices.Sort(s)
	members := s.ids()
	for i := range members {
		members[i] = "agents;id=" + members[i]
	}
	h.Set(dependsOn, strings.Join(members, ", "))
}

// agents are those of the items.
func (p Page) agents() (shown agentsShown) {
	for i := range p.Items {
		if a := p.Items[i].Agent; a != nil {
			shown.add(a.ID)
		}
	}
	return shown
}

// agents is the listing's own.
func (l Listing) agents() (shown agentsShown) {
	if l.Agent != nil {
		shown.add(l.Agent.ID)
	}
	return shown
}
