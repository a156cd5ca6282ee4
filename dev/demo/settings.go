package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Settings say how large the demo is and where it works.
type Settings struct {
	For      time.Duration // how long the load runs; 0: until asked to stop
	Rate     int           // requests a second of all readers together
	Changes  int           // row changes a second of all writers together, without the bulk updates
	Listings int           // rows to begin with
	Dir      string        // data, logs and the proxy's configuration; created
	Programs string        // the directory that holds origin and proxy
}

// Bounds of the settings. What is above them is a slip of the finger or more than one machine does.
const (
	maxRate     = 100_000
	maxChanges  = 5_000
	minListings = 1_000
	maxListings = 10_000_000
)

// fromEnvironment reads DEMO_FOR, DEMO_RATE, DEMO_CHANGES and DEMO_LISTINGS. The programs are those beside this one.
func fromEnvironment(lookup func(string) (string, bool)) (Settings, error) {
	s := Settings{Rate: 2000, Changes: 20, Listings: 100_000, Dir: ".run"}
	if text, ok := lookup("DEMO_FOR"); ok && text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return s, fmt.Errorf("DEMO_FOR is %q; give a duration such as 30s or 5m", text)
		}
		s.For = d
	}
	for _, number := range []struct {
		name      string
		into      *int
		low, high int
	}{
		{"DEMO_RATE", &s.Rate, 1, maxRate},
		{"DEMO_CHANGES", &s.Changes, 1, maxChanges},
		{"DEMO_LISTINGS", &s.Listings, minListings, maxListings},
	} {
		text, ok := lookup(number.name)
		if !ok || text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < number.low || n > number.high {
			return s, fmt.Errorf("%s is %q; give a whole number from %d to %d", number.name, text, number.low, number.high)
		}
		*number.into = n
	}
	self, err := os.Executable()
	if err != nil {
		return s, fmt.Errorf("find the other programs: %w", err)
	}
	s.Programs = filepath.Dir(self)
	return s, nil
}
