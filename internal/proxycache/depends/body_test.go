package depends

import (
	"net/http"
	"slices"
	"testing"
)

func TestValuesInABody(t *testing.T) {
	member := func(names ...string) (steps []Step) {
		for _, n := range names {
			steps = append(steps, Step{Name: n})
		}
		return steps
	}
	all, second := Step{Kind: Elements}, Step{Kind: Element, Index: 1}
	const page = `{"items": [{"id": 7, "agent": {"id": 1}}, {"id": "eight", "agent": null}], "n": 12345678901234567890, "on": true, "none": []}`
	for _, c := range []struct {
		body  string
		steps []Step
		want  []string
		known bool
	}{
		{page, append(member("items"), all, Step{Name: "id"}), []string{"7", "eight"}, true},
		{page, append(member("items"), second, Step{Name: "id"}), []string{"eight"}, true},
		{page, append(member("items"), Step{Kind: Element, Index: 2}, Step{Name: "id"}), nil, true},
		{page, append(member("items"), all, Step{Name: "agent"}, Step{Name: "id"}), []string{"1"}, true}, // NULL satisfies no condition
		{page, member("n"), []string{"12345678901234567890"}, true},
		{page, member("on"), []string{"true"}, true},
		{page, append(member("none"), all, Step{Name: "id"}), nil, true},
		{page, member("missing"), nil, false},
		{page, append(member("items"), all, Step{Name: "city"}), nil, false},
		{page, member("items"), nil, false},
		{page, append(member("n"), all), nil, false},
		{`[3, 4]`, []Step{all}, []string{"3", "4"}, true},
		{`3`, nil, []string{"3"}, true},
		{`"a\u0000b"`, nil, nil, false},
		{"\"\xff\"", nil, nil, false},
		{`"\ud800"`, nil, nil, false},
		{`3 4`, nil, nil, false},
		{`<html>`, nil, nil, false},
		{``, nil, nil, false},
	} {
		got, known := ReadDocument(http.Header{}, []byte(c.body)).values(c.steps)
		if known != c.known || known && !slices.Equal(got, c.want) {
			t.Errorf("%s%s: %q, %t; want %q, %t", c.body, stepsString(c.steps), got, known, c.want, c.known)
		}
	}
	if ReadDocument(http.Header{"Content-Encoding": {"gzip"}}, []byte("3")) != nil {
		t.Error("a compressed body was read")
	}
}
