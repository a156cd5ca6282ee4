package main

import (
	"fmt"
	"math"
)

// dot is a contestant in the picture of what a hit costs.
type dot struct {
	name             string
	cpu, least, most float64 // microseconds
	rate             float64 // requests a second
}

// dots draws CPU times on a logarithmic scale, with their spread, and what stands behind each: the ratio to ours.
func dots(list []dot, title, subtitle string) string {
	const width, left, right, top, step = 820, 168, 640, 92, 34
	height := float64(top + step*len(list) + 56)
	s := newSVG(width, height, title)
	s.words("ink", 20, 30, 17, "start", "600", title)
	s.words("dim", 20, 51, 12.5, "start", "400", subtitle)
	var least []float64
	most, ours := 0.0, 0.0
	for _, b := range list {
		least, most = append(least, b.least), max(most, b.most)
		if b.name == guarded {
			ours = b.cpu
		}
	}
	bottom := height - 54
	x := newLogScale(least, math.Pow(10, math.Ceil(math.Log10(most))), left, right)
	for _, v := range x.decades() {
		for _, k := range []float64{1, 2, 5} {
			if v*k > x.high*1.0001 {
				continue
			}
			s.line("grid", x.at(v*k), top-12, x.at(v*k), bottom, 1)
			s.words("dim", x.at(v*k), bottom+17, 12, "middle", "400", fmt.Sprintf("%g", v*k))
		}
	}
	s.words("ink", (left+right)/2, bottom+40, 13, "middle", "500", "µs of CPU a hit")
	for i, b := range list {
		y := float64(top + step*i)
		class, weight := classOf(b.name), "400"
		if b.name == guarded {
			weight = "700"
		}
		s.words("ink", left-12, y+14, 13, "end", weight, b.name)
		s.line("s-"+class, x.at(b.least), y+9, x.at(b.most), y+9, 3)
		fmt.Fprintf(s, `<circle class="f-%s" cx="%.1f" cy="%.1f" r="6"/>`+"\n", class, x.at(b.cpu), y+9)
		s.words("halo ink", x.at(b.most)+14, y+14, 12.5, "start", weight, fmt.Sprintf("%.1f µs · %s of ours · %s/s", b.cpu, number(b.cpu/ours), thousands(b.rate)))
	}
	return s.done()
}
