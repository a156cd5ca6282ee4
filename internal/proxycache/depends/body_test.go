package depends

import (
	"net/http"
	"slices"
	"testing"

	"walpurge/internal/expr"
)

func TestValuesInABody(t *testing.T) {
	member := func(names ...string) (steps []expr.Step) {
		for _, n := range names {
			steps = append(steps, expr.Step{Name: n})
		}
		return steps
	}
	all, second := expr.Step{Kind: expr.Elements}, expr.Step{Kind: expr.Element, Index: 1}
	const page = `{"items": [{"id": 7, "agent": {"id": 1}}, {"id": "eight", "agent": null}], "n": 12345678901234567890, "on": true, "none": []}`
	for _, c := range []struct {
		body  string
		steps []expr.Step
		want  []string
		known bool
	}{
		{page, append(member("items"), all, expr.Step{Name: "id"}), []string{"7", "eight"}, true},
		{page, append(member("items"), second, expr.Step{Name: "id"}), []string{"eight"}, true},
		{page, append(member("items"), expr.Step{Kind: expr.Element, Index: 2}, expr.Step{Name: "id"}), nil, true},
		{page, append(member("items"), all, expr.Step{Name: "agent"}, expr.Step{Name: "id"}), []string{"1"}, true}, // NULL satisfies no condition
		{page, member("n"), []string{"12345678901234567890"}, true},
		{page, member("on"), []string{"true"}, true},
		{page, append(member("none"), all, expr.Step{Name: "id"}), nil, true},
		{page, member("missing"), nil, false},
		{page, append(member("items"), all, expr.Step{Name: "city"}), nil, false},
		{page, member("items"), nil, false},
		{page, append(member("n"), all), nil, false},
		{`[3, 4]`, []expr.Step{all}, []string{"3", "4"}, true},
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
			t.Errorf("%s, %s: %q, %t; want %q, %t", c.body, expr.Expr{Source: expr.Body, Steps: c.steps}, got, known, c.want, c.known)
		}
	}
	if ReadDocument(http.Header{"Content-Encoding": {"gzip"}}, []byte("3")) != nil {
		t.Error("a compressed body was read")
	}
}
