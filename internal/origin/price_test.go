package origin

import (
	"encoding/json"
	"testing"
)

func TestPriceSpellings(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0.00", "7": "7.00", "1200.5": "1200.50", "1200.50": "1200.50", "007.01": "7.01",
		"9999999999.99": "9999999999.99",
		"":              "error", ".5": "error", "5.": "error", "-1": "error", "+1": "error", "1e3": "error", " 1": "error",
		"1,000": "error", "1.001": "error", "10000000000": "error", "٣": "error", "1.-1": "error",
	} {
		got := "error"
		if p, err := ParsePrice(in); err == nil {
			got = p.String()
		}
		if got != want {
			t.Errorf("ParsePrice(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestPriceForPeople(t *testing.T) {
	for in, want := range map[Price]string{
		0: "0", 99: "0.99", 100_00: "100", 1000_00: "1,000", 1234567_05: "1,234,567.05", MaxPrice: "9,999,999,999.99",
	} {
		if got := in.Grouped(); got != want {
			t.Errorf("%d: %s, want %s", in, got, want)
		}
	}
}

func TestPriceSurvivesTheDatabase(t *testing.T) {
	conn, _ := database(t, 0)
	for _, want := range []Price{0, 1, 99, 100, 1_000_000_00, 12345_60, MaxPrice} {
		var got Price
		if err := conn.QueryRow(t.Context(), "select $1::numeric(12,2)", want).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s came back as %s", want, got)
		}
	}
	var p Price
	for _, sql := range []string{"select 'NaN'::numeric", "select 0.001::numeric", "select 1e30::numeric", "select null::numeric"} {
		if err := conn.QueryRow(t.Context(), sql).Scan(&p); err == nil {
			t.Errorf("%s was read as %s", sql, p)
		}
	}
}

func TestPriceIsAJSONNumberWithTwoDecimals(t *testing.T) {
	got, err := json.Marshal(Price(1200_50))
	if err != nil || string(got) != "1200.50" {
		t.Errorf("%s, %v", got, err)
	}
	var back Price
	if err := json.Unmarshal(got, &back); err != nil || back != 1200_50 {
		t.Errorf("%s came back as %s, %v", got, back, err)
	}
}
