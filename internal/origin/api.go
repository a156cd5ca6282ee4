package origin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxBody is how large a request's body may be, in bytes.
const maxBody = 1 << 20

// api is the JSON side of the service.
type api struct {
	store *Store
	log   *slog.Logger
}

// handler is an http.HandlerFunc that may fail before it has written anything.
type handler func(http.ResponseWriter, *http.Request) error

// methods is what a resource can do, by method. HEAD comes with GET.
type methods map[string]handler

// pick finds the handler for a request. Without one the answer is 405 with Allow (RFC
// 9110, section 15.5.6), which for OPTIONS is what was asked for.
func (m methods) pick(method string) (handler, error) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if h, ok := m[method]; ok {
		return h, nil
	}
	var allow []string
	for name := range m {
		allow = append(allow, name)
		if name == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	slices.Sort(allow)
	list := strings.Join(append(allow, http.MethodOptions), ", ")
	if method == http.MethodOptions {
		return func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Allow", list)
			w.WriteHeader(http.StatusNoContent)
			return nil
		}, nil
	}
	p := newProblem(http.StatusMethodNotAllowed, "This resource knows "+list+".")
	p.header.Set("Allow", list)
	return nil, p
}

// routes puts the API's resources on the mux.
func (a *api) routes(mux *http.ServeMux) {
	handle := func(pattern string, m methods) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			h, err := m.pick(r.Method)
			if err == nil {
				err = h(w, r)
			}
			if err != nil {
				p := problemFor(err)
				logFailure(a.log, r, p, err)
				writeProblem(w, p)
			}
		})
	}
	handle("/api/listings", methods{"GET": a.list, "POST": a.create})
	handle("/api/listings/{id}", methods{"GET": a.show, "PUT": a.replace, "PATCH": a.patch, "DELETE": a.remove})
	handle("/api/agents/{id}", methods{"GET": a.agent, "PUT": a.replaceAgent, "PATCH": a.patchAgent})
	handle("/api/cities", methods{"GET": a.cities})
	handle("/healthz", methods{"GET": a.health})
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, newProblem(http.StatusNotFound, "There is no such resource."))
	})
}

func (a *api) list(w http.ResponseWriter, r *http.Request) error {
	filter, err := requestFilter(r)
	if err != nil {
		return err
	}
	page, err := a.store.queries.list(r.Context(), filter)
	if err != nil {
		return err
	}
	return respondJSON(w, r, page)
}

func (a *api) show(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	listing, err := a.store.queries.listing(r.Context(), id)
	if err != nil {
		return err
	}
	return respondJSON(w, r, listing)
}

func (a *api) agent(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	agent, err := a.store.Agent(r.Context(), id)
	if err != nil {
		return err
	}
	return respondJSON(w, r, agent)
}

// cities counts the listings by city.
func (a *api) cities(w http.ResponseWriter, r *http.Request) error {
	counts, err := a.store.queries.counts(r.Context(), struct{}{})
	if err != nil {
		return err
	}
	return respondJSON(w, r, counts)
}

func (a *api) create(w http.ResponseWriter, r *http.Request) error {
	edit, err := readEdit(w, r, listingRecord(), true, "application/json")
	if err != nil {
		return err
	}
	listing, err := a.store.Create(r.Context(), edit)
	if err != nil {
		return err
	}
	body, err := encodeJSON(listing)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/api/listings/"+strconv.FormatInt(listing.ID, 10))
	write(w, http.StatusCreated, "application/json", body)
	return nil
}

func (a *api) replace(w http.ResponseWriter, r *http.Request) error {
	return update(w, r, listingRecord(), a.store.Update, true, "application/json")
}

// patch takes a merge patch (RFC 7396), under its own media type or plain JSON.
func (a *api) patch(w http.ResponseWriter, r *http.Request) error {
	return update(w, r, listingRecord(), a.store.Update, false, "application/json", "application/merge-patch+json")
}

// update changes what the path names, and answers with what became of it.
func update[T any](w http.ResponseWriter, r *http.Request, rec record, store func(context.Context, int64, Edit) (T, error), complete bool, mediaTypes ...string) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	edit, err := readEdit(w, r, rec, complete, mediaTypes...)
	if err != nil {
		return err
	}
	changed, err := store(r.Context(), id, edit)
	if err != nil {
		return err
	}
	body, err := encodeJSON(changed)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, "application/json", body)
	return nil
}

func (a *api) remove(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := a.store.Delete(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) health(w http.ResponseWriter, r *http.Request) error {
	if err := a.store.Ping(r.Context()); err != nil {
		return err
	}
	write(w, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
	return nil
}

func respondJSON(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := encodeJSON(v)
	if err != nil {
		return err
	}
	respond(w, r, "application/json", body)
	return nil
}

func requestFilter(r *http.Request) (Filter, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Filter{}, newProblem(http.StatusBadRequest, "The query string can't be read.")
	}
	filter, faults := parseFilter(query)
	if len(faults) > 0 {
		return Filter{}, newProblem(http.StatusBadRequest, "The request has faults.", faults...)
	}
	return filter, nil
}

// pathID reads the id in the path. What isn't a number is a bad request; a number
// beyond bigint is an id that no row has.
func pathID(r *http.Request) (int64, error) {
	s := r.PathValue("id")
	if !allDigits(s) {
		return 0, newProblem(http.StatusBadRequest, "The request has faults.", fault{"id", "must be a whole number"})
	}
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, ErrNotFound
	}
	return id, nil
}

// readEdit reads a JSON object with the fields of a record. Names it doesn't
// know are faults: a misspelt field that is silently ignored is an edit lost.
func readEdit(w http.ResponseWriter, r *http.Request, rec record, complete bool, mediaTypes ...string) (Edit, error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(mediaTypes, mediaType) {
		accepted := strings.Join(mediaTypes, ", ")
		p := newProblem(http.StatusUnsupportedMediaType, "The body must be "+accepted+".")
		p.header.Set("Accept", accepted)
		return nil, p
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, bodyError(err)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil || object == nil {
		return nil, newProblem(http.StatusBadRequest, "The body must be one JSON object.")
	}
	inputs, faults := rec.inputs(object)
	edit, more := rec.edit(inputs, complete)
	if faults = append(faults, more...); len(faults) > 0 {
		return nil, newProblem(http.StatusBadRequest, "The request has faults.", faults...)
	}
	return edit, nil
}

// inputs unwraps the members of a JSON object.
func (rec record) inputs(object map[string]json.RawMessage) (map[string]input, []fault) {
	inputs := make(map[string]input)
	for _, f := range rec.fields {
		raw, given := object[f.name]
		if !given {
			continue
		}
		delete(object, f.name)
		in := input{text: string(raw)}
		switch isString := raw[0] == '"'; {
		case string(raw) == "null":
			in.null = true
		case f.number && raw[0] != '-' && !allDigits(string(raw[:1])):
			in.wrong = "must be a number"
		case !f.number && (!isString || json.Unmarshal(raw, &in.text) != nil):
			in.wrong = "must be a string"
		}
		inputs[f.name] = in
	}
	for _, name := range rec.readOnly {
		delete(object, name)
	}
	var faults []fault
	for _, name := range slices.Sorted(maps.Keys(object)) {
		faults = append(faults, fault{name, "is not a field of " + rec.noun})
	}
	return inputs, faults
}

// bodyError tells a body that is too large (413, by problemFor) from one that
// broke off on the way.
func bodyError(err error) error {
	if p := problemFor(err); p.Status == http.StatusRequestEntityTooLarge {
		return p
	}
	return newProblem(http.StatusBadRequest, "The body can't be read.")
}
