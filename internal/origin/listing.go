package origin

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Listing is everything about one listing. Agent is nil when AgentID is.
type Listing struct {
	ID           int64     `json:"id"`
	Title        string    `json:"title"`
	Description  *string   `json:"description"`
	Price        Price     `json:"price"`
	City         string    `json:"city"`
	PropertyType string    `json:"property_type"`
	Bedrooms     *int32    `json:"bedrooms"`
	Status       string    `json:"status"`
	AgentID      *int64    `json:"agent_id"`
	Agent        *Agent    `json:"agent"`
	CreatedAt    time.Time `json:"created_at"`
	UpdatedAt    time.Time `json:"updated_at"`
}

// Item is a listing as list pages show it. It has neither the description nor
// the time of the last edit, so a change to those two leaves list pages as they are.
type Item struct {
	ID           int64     `json:"id"`
	Title        string    `json:"title"`
	Price        Price     `json:"price"`
	City         string    `json:"city"`
	PropertyType string    `json:"property_type"`
	Bedrooms     *int32    `json:"bedrooms"`
	Status       string    `json:"status"`
	CreatedAt    time.Time `json:"created_at"`
	Agent        *AgentRef `json:"agent"`
}

// AgentRef is what a list page shows of an agent.
type AgentRef struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// Page is one page of a list. HasMore says whether the next page has an item.
type Page struct {
	Page     int    `json:"page"`
	PageSize int    `json:"page_size"`
	HasMore  bool   `json:"has_more"`
	Items    []Item `json:"items"`
}

// PropertyTypes and Statuses are what the forms offer. A property type may be
// any other lower-case word too; a status may not.
var (
	PropertyTypes = []string{"apartment", "house", "studio", "villa", "townhouse", "office", "shop", "land"}
	Statuses      = []string{"active", "pending", "sold", "withdrawn"}
)

// Bounds of what a client may write, in characters where text is meant.
const (
	maxTitle       = 200
	maxDescription = 10_000
	maxCity        = 100
	maxType        = 40
	maxBedrooms    = 100
)

// field is one column that a client may write. Values reach parse as text,
// whether they came in JSON or in a form; what it returns goes to PostgreSQL.
type field struct {
	name      string
	number    bool // a number in JSON, else a string
	required  bool // has no NULL and no default
	nullable  bool // may be set to NULL
	byDefault any  // what PUT and POST store when the field is left out
	parse     func(string) (any, error)
}

// record is what of one table a client may write.
type record struct {
	noun     string   // with its article, for messages
	fields   []field  // in the order in which statements name them
	readOnly []string // members that a client may send back as it has read them, and can't change
}

func listingRecord() record {
	return record{noun: "a listing", readOnly: []string{"id", "agent", "created_at", "updated_at"}, fields: []field{
		{name: "title", required: true, parse: text(maxTitle)},
		{name: "description", nullable: true, parse: text(maxDescription)},
		{name: "price", number: true, required: true, parse: func(s string) (any, error) { return ParsePrice(s) }},
		{name: "city", required: true, parse: text(maxCity)},
		{name: "property_type", required: true, parse: lowerText(maxType)},
		{name: "bedrooms", number: true, nullable: true, parse: func(s string) (any, error) { return parseBedrooms(s) }},
		{name: "status", byDefault: "active", parse: parseStatus},
		{name: "agent_id", number: true, nullable: true, parse: parseAgentID},
	}}
}

// assignment is one column with the value it gets; nil is NULL.
type assignment struct {
	column string
	value  any
}

// Edit is a checked set of assignments.
type Edit []assignment

// input is what a request says about one field: some text, NULL, or something
// that can't be either.
type input struct {
	text  string
	null  bool
	wrong string // what is the matter with it, if anything
}

// edit checks what a request says about the fields, by name.
// A complete edit (POST, PUT) assigns every column, a partial one (PATCH) only
// those named. All faults are reported, not just the first.
func (rec record) edit(inputs map[string]input, complete bool) (Edit, []fault) {
	var edit Edit
	var faults []fault
	for _, f := range rec.fields {
		in, given := inputs[f.name]
		switch {
		case in.wrong != "":
			faults = append(faults, fault{f.name, in.wrong})
		case !given && !complete:
		case !given && f.required:
			faults = append(faults, fault{f.name, "is required"})
		case !given:
			edit = append(edit, assignment{f.name, f.byDefault})
		case in.null && !f.nullable:
			faults = append(faults, fault{f.name, "must not be null"})
		case in.null:
			edit = append(edit, assignment{f.name, nil})
		default:
			value, err := f.parse(in.text)
			if err != nil {
				faults = append(faults, fault{f.name, err.Error()})
				continue
			}
			edit = append(edit, assignment{f.name, value})
		}
	}
	return edit, faults
}

func text(limit int) func(string) (any, error) {
	return func(s string) (any, error) {
		// Browsers send line ends as CR LF (HTML, form submission).
		s = strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n"))
		if s == "" {
			return nil, errors.New("must not be empty")
		}
		if utf8.RuneCountInString(s) > limit {
			return nil, fmt.Errorf("must not be longer than %d characters", limit)
		}
		return s, checkText(s)
	}
}

func lowerText(limit int) func(string) (any, error) {
	check := text(limit)
	return func(s string) (any, error) { return check(strings.ToLower(s)) }
}

// checkText refuses what PostgreSQL can't store as text.
func checkText(s string) error {
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return errors.New("must be UTF-8 text without NUL characters")
	}
	return nil
}

func parseBedrooms(s string) (int32, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || !allDigits(s) || n > maxBedrooms {
		return 0, fmt.Errorf("must be a whole number from 0 to %d", maxBedrooms)
	}
	return int32(n), nil
}

func parseStatus(s string) (any, error) {
	for _, known := range Statuses {
		if s == known {
			return s, nil
		}
	}
	return nil, fmt.Errorf("must be one of %s", strings.Join(Statuses, ", "))
}

func parseAgentID(s string) (any, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || !allDigits(s) || n == 0 {
		return nil, errors.New("must be the id of an agent")
	}
	return n, nil
}
