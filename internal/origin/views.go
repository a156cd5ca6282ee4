package origin

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// views holds one template for each page, each a layout with its own body.
type views struct {
	byName map[string]*template.Template
}

func newViews() (*views, error) {
	functions := template.FuncMap{
		"title":   titleCase,
		"day":     func(t time.Time) string { return t.Format("2 January 2006") },
		"instant": func(t time.Time) string { return t.Format(time.RFC3339) },
		"lines":   func(s string) []string { return strings.Split(s, "\n") },
		"types":   func() []string { return PropertyTypes },
		"states":  func() []string { return Statuses },
		"cities":  cityNames,
		"orders": func() []choice {
			return []choice{{string(Newest), "Newest"}, {string(PriceAsc), "Price, rising"}, {string(PriceDesc), "Price, falling"}}
		},
		"rooms": rooms,
	}
	v := &views{byName: make(map[string]*template.Template)}
	for _, name := range []string{"home", "list", "detail", "form", "agent", "agent_form", "problem"} {
		t, err := template.New("layout.html").Funcs(functions).ParseFS(templateFiles,
			"templates/layout.html", "templates/parts.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("parse templates: %w", err)
		}
		v.byName[name] = t
	}
	return v, nil
}

func (v *views) execute(name string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := v.byName[name].Execute(&b, data); err != nil {
		return nil, fmt.Errorf("render page %q: %w", name, err)
	}
	return b.Bytes(), nil
}

// titleCase sets the first letter of a stored lower-case word.
func titleCase(s string) string {
	_, size := utf8.DecodeRuneInString(s)
	return strings.ToUpper(s[:size]) + s[size:]
}

// rooms says how many bedrooms there are, or nothing where that means nothing.
func rooms(n *int32) string {
	switch {
	case n == nil || *n == 0:
		return ""
	case *n == 1:
		return "1 bedroom"
	default:
		return fmt.Sprintf("%d bedrooms", *n)
	}
}

type choice struct{ Value, Label string }

// listView is what the list and the front page show.
type listView struct {
	Filter Filter
	Search searchView
	Page   Page
}

// homeView is the front page.
type homeView struct {
	listView
	Counts []CityCount
}

// previous is the address of the page before this one, or "". at makes an
// address of a page's number.
func (p Page) previous(at func(int) string) string {
	if p.Page == 1 {
		return ""
	}
	return at(p.Page - 1)
}

func (p Page) next(at func(int) string) string {
	if !p.HasMore || p.Page == MaxPage {
		return ""
	}
	return at(p.Page + 1)
}

// Previous and Next are the addresses of the pages around this one, or "".
func (v listView) Previous() string { return v.Page.previous(v.at) }

// Next see Previous.
func (v listView) Next() string { return v.Page.next(v.at) }

func (v listView) at(page int) string {
	f := v.Filter
	f.Page = page
	if q := f.query(); q != "" {
		return "/listings?" + q
	}
	return "/listings"
}

// formView is a record being typed in. All values are text, right or wrong.
type formView struct {
	record record
	view   string // the template that draws it

	Action string
	ID     int64 // 0 for what doesn't exist yet
	Values map[string]string
	Faults map[string]string // by field; nil when there is none
}

func newForm(action string) formView {
	return formView{record: listingRecord(), view: "form", Action: action, Values: map[string]string{"status": "active"}}
}

// editForm is that of a listing that exists.
func editForm(id int64) formView {
	f := newForm(fmt.Sprintf("/listings/%d/edit", id))
	f.ID = id
	return f
}

func formOf(l Listing) formView {
	f := editForm(l.ID)
	f.Values = map[string]string{
		"title": l.Title, "price": l.Price.String(), "city": l.City, "property_type": l.PropertyType, "status": l.Status,
	}
	if l.Description != nil {
		f.Values["description"] = *l.Description
	}
	if l.Bedrooms != nil {
		f.Values["bedrooms"] = strconv.Itoa(int(*l.Bedrooms))
	}
	if l.AgentID != nil {
		f.Values["agent_id"] = strconv.FormatInt(*l.AgentID, 10)
	}
	return f
}

func (f *formView) setFaults(faults []fault) {
	for _, x := range faults {
		if f.Faults == nil {
			f.Faults = make(map[string]string)
		}
		f.Faults[x.Name] = x.Detail
	}
}

// Field gathers what the template needs to draw one input.
func (f formView) Field(name, label string) fieldView {
	return fieldView{Name: name, Label: label, Value: f.Values[name], Fault: f.Faults[name]}
}

type fieldView struct{ Name, Label, Value, Fault string }

// Choices offers the known values and, so that saving the form changes nothing
// that wasn't touched, the present one.
func (f fieldView) Choices(known []string) []string {
	if f.Value == "" || slices.Contains(known, f.Value) {
		return known
	}
	return append([]string{f.Value}, known...)
}

// assets are the embedded static files by name.
type assets map[string]asset

type asset struct {
	contentType string
	body        []byte
}

func newAssets() (assets, error) {
	names, err := fs.Glob(staticFiles, "static/*")
	if err != nil {
		return nil, fmt.Errorf("read static files: %w", err)
	}
	all := make(assets)
	for _, name := range names {
		body, err := fs.ReadFile(staticFiles, name)
		if err != nil {
			return nil, fmt.Errorf("read static files: %w", err)
		}
		all[path.Base(name)] = asset{mime.TypeByExtension(path.Ext(name)), body}
	}
	return all, nil
}

func (a assets) serve(w http.ResponseWriter, r *http.Request) error {
	file, ok := a[r.PathValue("name")]
	if !ok {
		return ErrNotFound
	}
	respond(w, r, file.contentType, file.body)
	return nil
}
