package querycache

import (
	"context"
	"strconv"
	"testing"

	"walpurge/dev/testbed"
)

// house is a result with rows of another table: its owners.
type house struct {
	Owners []int
	Text   string
}

// owned attaches a query whose results show the owners that they name.
func (r *rig) owned(load func() house) func(context.Context, string) (house, error) {
	r.t.Helper()
	get, err := Attach(r.cache, Query[string, house]{
		Name: "owned", Key: func(city string) string { return city },
		Depends: []Source[string]{{Table: "public.homes", Where: []Where[string]{{Column: "city", Is: Is}}}},
		Shows: []Rows[house]{{Table: "public.owners", Columns: []string{"name"}, By: "id", Values: func(h house) (ids []string) {
			for _, id := range h.Owners {
				ids = append(ids, strconv.Itoa(id))
			}
			return ids
		}}},
		Load: func(context.Context, string) (house, error) { return load(), nil },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return get
}

func TestResultEndsWithTheRowsThatItShows(t *testing.T) {
	r := newRig(t, testbed.SharedRedis(t), nil)
	now, loads := house{}, 0
	get := r.owned(func() house {
		loads++
		return now
	})
	want := func(city, text string, loaded int) {
		t.Helper()
		loads = 0
		h, err := get(t.Context(), city)
		if err != nil || h.Text != text || loads != loaded {
			t.Errorf("%s: %q after %d loads, %v; want %q after %d", city, h.Text, loads, err, text, loaded)
		}
	}
	now.Text = "nobody's"
	want("Accra", "nobody's", 1)
	now.Text = "old"
	for id := 1; id <= 40; id++ { // more than the guard takes for one condition
		now.Owners = append(now.Owners, id)
	}
	want("Lagos", "old", 1)
	want("Lagos", "old", 0)

	now.Text = "new"
	r.rename(41)
	want("Lagos", "old", 0) // another one's
	r.rename(40)
	want("Lagos", "new", 1) // pending: it may be the old one, and isn't stored
	want("Lagos", "new", 1)
	r.settle()
	want("Lagos", "new", 1)
	want("Lagos", "new", 0)

	now.Owners = now.Owners[:39]
	r.commit("Lagos") // a home goes, and the last owner with it
	r.settle()
	want("Lagos", "new", 1)
	r.rename(40)
	want("Lagos", "new", 0)
	r.rename(1)
	want("Lagos", "new", 1)
	r.settle()
	want("Accra", "nobody's", 0) // nothing of all this was its

	now.Text = "late"
	r.commit("Lagos")
	r.settle()
	before := now.Owners
	now.Owners = []int{50}
	r.rename(50) // pending when the load begins, which shows it
	want("Lagos", "late", 1)
	want("Lagos", "late", 1)
	r.settle()
	want("Lagos", "late", 1)
	want("Lagos", "late", 0)
	now.Owners = before
	if n := r.guard.Handles(); n != 0 {
		t.Errorf("%d handles are left open", n)
	}
}
