package bench

import (
	"fmt"
	"math"
)

// bar is a contestant in the picture of what a hit costs.
type bar struct {
	name             string
	cpu, least, most float64 // microseconds
	rate             float64 // requests a second
}

// bars draws CPU times on a logarithmic scale, with their spread, and what stands behind each: the ratio to ours.
func bars(list []bar, title, subtitle string) string {
	const width, left, right, top, step = 820, 168, 640, 92, 34
	height := float64(top + step*len(list) + 44)
	s := newSVG(width, height, title)
	s.words("ink", 20, 30, 17, "start", "600", title)
	s.words("dim", 20, 51, 12.5, "start", "400", subtitle)
	least, most, ours := math.Inf(1), 0.0, 0.0
	for _, b := range list {
		least, most = min(least, b.least), max(most, b.most)
		if b.name == guarded {
			ours = b.cpu
		}
	}
	bottom := height - 40
	x := newLogScale([]float64{least}, math.Pow(10, math.Ceil(math.Log10(most))), left, right)
	for _, v := range x.decades() {
		for _, k := range []float64{1, 2, 5} {
			if v*k > x.high*1.0001 {
				continue
			}
			s.line("grid", x.at(v*k), top-12, x.at(v*k), bottom, 1)
			s.words("dim", x.at(v*k), bottom+17, 12, "middle", "400", fmt.Sprintf("%g", v*k))
		}
	}
	s.words("dim", right+14, bottom+17, 12, "start", "400", "µs of CPU a hit")
	for i, b := range list {
		y := float64(top + step*i)
		class, weight := classOf(b.name), "400"
		if b.name == guarded {
			weight = "700"
		}
		s.words("ink", left-12, y+14, 13, "end", weight, b.name)
		fmt.Fprintf(s, `<rect class="f-%s" x="%.1f" y="%.1f" width="%.1f" height="18" rx="2"/>`+"\n", class, x.from, y, x.at(b.cpu)-x.from)
		s.line("axis", x.at(b.least), y+9, x.at(b.most), y+9, 2)
		s.words("ink", x.at(b.most)+10, y+14, 12.5, "start", weight, fmt.Sprintf("%.1f µs · %s of ours · %s/s", b.cpu, number(b.cpu/ours), thousands(b.rate)))
	}
	return s.done()
}
