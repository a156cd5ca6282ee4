package origin

import (
	"fmt"
	"net/http"
	"strconv"
)

// agentView is an agent's page.
type agentView struct {
	Agent Agent
	Page  Page
}

// Previous and Next are the addresses of the pages around this one, or "".
func (v agentView) Previous() string { return v.Page.previous(v.at) }

// Next see Previous.
func (v agentView) Next() string { return v.Page.next(v.at) }

func (v agentView) at(page int) string {
	path := fmt.Sprintf("/agents/%d", v.Agent.ID)
	if page > 1 {
		path += "?page=" + strconv.Itoa(page)
	}
	return path
}

func agentFormOf(a Agent) formView {
	f := newAgentForm(a.ID)
	f.Values["name"] = a.Name
	if a.Phone != nil {
		f.Values["phone"] = *a.Phone
	}
	if a.Email != nil {
		f.Values["email"] = *a.Email
	}
	return f
}

func newAgentForm(id int64) formView {
	return formView{record: agentRecord(), view: "agent_form", ID: id, Action: fmt.Sprintf("/agents/%d/edit", id), Values: make(map[string]string)}
}

func (p *pages) showAgent(w http.ResponseWriter, r *http.Request) error {
	id, err := pageID(r)
	if err != nil {
		return err
	}
	page := 1
	if s := r.URL.Query().Get("page"); s != "" {
		if page, err = parseCount(s, MaxPage); err != nil {
			return newProblem(http.StatusBadRequest, "The request has faults.", fault{"page", err.Error()})
		}
	}
	agent, listings, err := p.store.AgentListings(r.Context(), id, page)
	if err != nil {
		return err
	}
	return p.render(w, r, "agent", agentView{agent, listings})
}

func (p *pages) editAgent(w http.ResponseWriter, r *http.Request) error {
	id, err := pageID(r)
	if err != nil {
		return err
	}
	agent, err := p.store.Agent(r.Context(), id)
	if err != nil {
		return err
	}
	return p.render(w, r, "agent_form", agentFormOf(agent))
}

func (p *pages) updateAgent(w http.ResponseWriter, r *http.Request) error {
	return save(p, w, r, newAgentForm, p.store.UpdateAgent, "/agents/")
}

func (a *api) replaceAgent(w http.ResponseWriter, r *http.Request) error {
	return update(w, r, agentRecord(), a.store.UpdateAgent, true, "application/json")
}

// patchAgent takes a merge patch, as patch does.
func (a *api) patchAgent(w http.ResponseWriter, r *http.Request) error {
	return update(w, r, agentRecord(), a.store.UpdateAgent, false, "application/json", "application/merge-patch+json")
}
