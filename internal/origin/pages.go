package origin

import (
	"context"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// homeItems is how many of the newest listings the front page shows.
const homeItems = 12

// pages is the HTML side of the service.
type pages struct {
	store  *Store
	log    *slog.Logger
	views  *views
	assets assets
}

func (p *pages) routes(mux *http.ServeMux) {
	handle := func(pattern string, m methods) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			h, err := m.pick(r.Method)
			if err == nil {
				err = h(w, r)
			}
			if err != nil {
				p.fail(w, r, err)
			}
		})
	}
	handle("/{$}", methods{"GET": p.home})
	handle("/listings", methods{"GET": p.list})
	handle("/listings/new", methods{"GET": p.blank, "POST": p.create})
	handle("/listings/{id}", methods{"GET": p.show})
	handle("/listings/{id}/edit", methods{"GET": p.edit, "POST": p.update})
	handle("/listings/{id}/delete", methods{"POST": p.remove})
	handle("/agents/{id}", methods{"GET": p.showAgent})
	handle("/agents/{id}/edit", methods{"GET": p.editAgent, "POST": p.updateAgent})
	handle("/static/{name}", methods{"GET": p.assets.serve})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { p.fail(w, r, ErrNotFound) })
}

func (p *pages) home(w http.ResponseWriter, r *http.Request) error {
	front, err := p.store.queries.front(r.Context(), struct{}{})
	if err != nil {
		return err
	}
	front.Page.agents().declare(w.Header())
	return p.render(w, r, "home", homeView{listView{Filter: frontFilter(), Search: searchOf(nil), Page: front.Page}, front.Counts})
}

func (p *pages) list(w http.ResponseWriter, r *http.Request) error {
	filter, err := requestFilter(r)
	search := searchOf(r.URL.Query())
	if search.takes(err) {
		// Beside the field, with all that was typed, rather than on a page of its own.
		return p.renderStatus(w, http.StatusBadRequest, "list", listView{Filter: filter, Search: search})
	}
	if err != nil {
		return err
	}
	page, err := p.store.queries.list(r.Context(), filter)
	if err != nil {
		return err
	}
	page.agents().declare(w.Header())
	return p.render(w, r, "list", listView{Filter: filter, Search: search, Page: page})
}

func (p *pages) show(w http.ResponseWriter, r *http.Request) error {
	id, err := pageID(r)
	if err != nil {
		return err
	}
	listing, err := p.store.queries.listing(r.Context(), id)
	if err != nil {
		return err
	}
	listing.agents().declare(w.Header())
	return p.render(w, r, "detail", listing)
}

func (p *pages) blank(w http.ResponseWriter, r *http.Request) error {
	return p.render(w, r, "form", newForm("/listings/new"))
}

func (p *pages) create(w http.ResponseWriter, r *http.Request) error {
	form := newForm("/listings/new")
	edit, err := readForm(w, r, &form)
	if err != nil {
		return err
	}
	if form.Faults != nil {
		return p.renderStatus(w, http.StatusUnprocessableEntity, form.view, form)
	}
	listing, err := p.store.Create(r.Context(), edit)
	if err != nil {
		return p.again(w, form, err)
	}
	seeOther(w, "/listings/", listing.ID)
	return nil
}

func (p *pages) edit(w http.ResponseWriter, r *http.Request) error {
	id, err := pageID(r)
	if err != nil {
		return err
	}
	// Never from the cache: what is edited is what is stored.
	listing, err := p.store.Listing(r.Context(), id)
	if err != nil {
		return err
	}
	return p.render(w, r, "form", formOf(listing))
}

func (p *pages) update(w http.ResponseWriter, r *http.Request) error {
	return save(p, w, r, editForm, p.store.Update, "/listings/")
}

// save changes what the path names as the form says, and leads to its page;
// with faults it shows the form again.
func save[T any](p *pages, w http.ResponseWriter, r *http.Request, empty func(id int64) formView, store func(context.Context, int64, Edit) (T, error), under string) error {
	id, err := pageID(r)
	if err != nil {
		return err
	}
	form := empty(id)
	edit, err := readForm(w, r, &form)
	if err != nil {
		return err
	}
	if form.Faults != nil {
		return p.renderStatus(w, http.StatusUnprocessableEntity, form.view, form)
	}
	if _, err := store(r.Context(), id, edit); err != nil {
		return p.again(w, form, err)
	}
	seeOther(w, under, id)
	return nil
}

func (p *pages) remove(w http.ResponseWriter, r *http.Request) error {
	id, err := pageID(r)
	if err != nil {
		return err
	}
	if err := p.store.Delete(r.Context(), id); err != nil {
		return err
	}
	w.Header().Set("Location", "/listings")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// again shows the form once more when the store found the fault in it.
func (p *pages) again(w http.ResponseWriter, form formView, err error) error {
	problem := problemFor(err)
	if problem.Status != http.StatusBadRequest {
		return err
	}
	form.setFaults(problem.Faults)
	return p.renderStatus(w, http.StatusUnprocessableEntity, form.view, form)
}

func (p *pages) render(w http.ResponseWriter, r *http.Request, view string, data any) error {
	body, err := p.views.execute(view, data)
	if err != nil {
		return err
	}
	pageHeader(w)
	respond(w, r, "text/html; charset=utf-8", body)
	return nil
}

func (p *pages) renderStatus(w http.ResponseWriter, status int, view string, data any) error {
	body, err := p.views.execute(view, data)
	if err != nil {
		return err
	}
	pageHeader(w)
	write(w, status, "text/html; charset=utf-8", body)
	return nil
}

func (p *pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	problem := problemFor(err)
	logFailure(p.log, r, problem, err)
	body, err := p.views.execute("problem", problem)
	if err != nil {
		p.log.Error("render the error page", "err", err)
		body = []byte(problem.Title + "\n")
	}
	pageHeader(w)
	problem.writeHeader(w)
	write(w, problem.Status, "text/html; charset=utf-8", body)
}

// pageHeader keeps everything foreign out of a page, scripts above all: what
// is shown was typed in by others. The one script is a file of ours.
func pageHeader(w http.ResponseWriter) {
	w.Header().Set("Content-Security-Policy",
		"default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("Referrer-Policy", "same-origin")
}

// seeOther sends the browser to the page of what it has just written.
func seeOther(w http.ResponseWriter, under string, id int64) {
	w.Header().Set("Location", under+strconv.FormatInt(id, 10))
	w.WriteHeader(http.StatusSeeOther)
}

// pageID is pathID for people: an address that can't be right is a page that
// doesn't exist.
func pageID(r *http.Request) (int64, error) {
	id, err := pathID(r)
	if err != nil {
		return 0, ErrNotFound
	}
	return id, nil
}

// readForm reads a posted record into an edit, and into the form so that it can be
// shown again. The faults are in the form; the error is for everything else.
func readForm(w http.ResponseWriter, r *http.Request, form *formView) (Edit, error) {
	const accepted = "application/x-www-form-urlencoded"
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != accepted {
		p := newProblem(http.StatusUnsupportedMediaType, "The body must be "+accepted+".")
		p.header.Set("Accept", accepted)
		return nil, p
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		return nil, bodyError(err)
	}
	edit, faults := form.record.edit(form.read(r.PostForm), true)
	form.setFaults(faults)
	return edit, nil
}

// read takes over what was posted. An empty field that may be NULL is NULL.
func (f *formView) read(posted url.Values) map[string]input {
	inputs := make(map[string]input)
	for _, field := range f.record.fields {
		s := strings.TrimSpace(posted.Get(field.name))
		f.Values[field.name] = s
		inputs[field.name] = input{text: s, null: s == "" && field.nullable}
	}
	return inputs
}
