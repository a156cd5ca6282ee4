package main

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// svg collects the elements of a picture. Its colours follow the reader's preference for light or dark.
type svg struct {
	strings.Builder
	width, height float64
}

// palette has a colour for each contestant, in light and in dark.
var palette = []struct{ class, light, dark string }{
	{"ours", "#c2410c", "#ff9a5c"},
	{"nginx", "#0b7a43", "#4fc98c"},
	{"varnish", "#1d56c4", "#82b1ff"},
	{"other", "#5b6470", "#a3adb8"},
}

// classOf is the palette's for a contestant.
func classOf(name string) string {
	switch name {
	case guarded:
		return "ours"
	case nginx:
		return "nginx"
	case varnish:
		return "varnish"
	}
	return "other"
}

func newSVG(width, height float64, title string) *svg {
	s := &svg{width: width, height: height}
	fmt.Fprintf(s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" role="img" font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif">`+"\n", width, height, width, height)
	fmt.Fprintf(s, "<title>%s</title>\n<style>\n", html.EscapeString(title))
	s.WriteString(".ink{fill:#1f2328}.dim{fill:#59636e}.grid{stroke:#d1d9e0}.axis{stroke:#818b98}.page{fill:#fff}.halo{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}\n")
	for _, c := range palette {
		fmt.Fprintf(s, ".f-%s{fill:%s}.s-%s{stroke:%s}\n", c.class, c.light, c.class, c.light)
	}
	s.WriteString("@media (prefers-color-scheme:dark){.ink{fill:#f0f6fc}.dim{fill:#9198a1}.grid{stroke:#3d444d}.axis{stroke:#656c76}.page{fill:#0d1117}.halo{stroke:#0d1117}\n")
	for _, c := range palette {
		fmt.Fprintf(s, ".f-%s{fill:%s}.s-%s{stroke:%s}\n", c.class, c.dark, c.class, c.dark)
	}
	s.WriteString("}\n</style>\n")
	fmt.Fprintf(s, `<rect class="page" width="%g" height="%g" rx="6"/>`+"\n", width, height)
	return s
}

func (s *svg) done() string { return s.String() + "</svg>\n" }

func (s *svg) line(class string, x1, y1, x2, y2, width float64) {
	fmt.Fprintf(s, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke-width="%g"/>`+"\n", class, x1, y1, x2, y2, width)
}

// words writes text; anchor is start, middle or end.
func (s *svg) words(class string, x, y, size float64, anchor, weight, text string) {
	fmt.Fprintf(s, `<text class="%s" x="%.1f" y="%.1f" font-size="%g" text-anchor="%s" font-weight="%s">%s</text>`+"\n", class, x, y, size, anchor, weight, html.EscapeString(text))
}

// logScale maps positive numbers to pixels; what is below its low end is put there.
type logScale struct {
	low, high float64 // whole decades
	from, to  float64 // pixels
}

// newLogScale covers all values above 0, and top.
func newLogScale(values []float64, top, from, to float64) logScale {
	low := top / 10
	for _, v := range values {
		if v > 0 {
			low = min(low, v)
		}
	}
	return logScale{low: math.Pow(10, math.Floor(math.Log10(low)+1e-9)), high: top, from: from, to: to}
}

func (l logScale) at(v float64) float64 {
	return l.from + (l.to-l.from)*math.Log10(max(v, l.low)/l.low)/math.Log10(l.high/l.low)
}

// decades are the powers of ten on the scale.
func (l logScale) decades() (list []float64) {
	for v := l.low; v <= l.high*1.0001; v *= 10 {
		list = append(list, v)
	}
	return list
}

// point is one strategy in the picture of staleness; x and y are shares.
type point struct {
	family, label string
	x, y          float64
	joined        bool   // by a line to the others of its family
	note          string // below the label
}

// sharePercent is a power of ten as per cent.
func sharePercent(share float64) string {
	return strconv.FormatFloat(math.Round(share*1e9)/1e7, 'f', -1, 64) + " %"
}

// scatter draws the picture of staleness.
func scatter(points []point, settings staleSettings) string {
	const width, height = 820, 500
	const left, right, top, bottom, none = 96, width - 34, 84, height - 104, height - 76 // none: where 0 is
	s := newSVG(width, height, "Share of stale responses against share of reads that reached the origin")
	var xs, ys []float64
	for _, p := range points {
		xs, ys = append(xs, p.x), append(ys, p.y)
	}
	x, y := newLogScale(xs, 1, left, right), newLogScale(ys, 1, bottom, top)
	s.words("ink", 20, 24, 17, "start", "600", "Stale responses against load on the origin")
	s.words("dim", 20, 43, 12.5, "start", "400", fmt.Sprintf("the same %s reads and %s row changes a second for all; %s rows; lower left is better",
		thousands(settings.reads), thousands(settings.writes), thousands(float64(settings.keys))))
	for _, v := range x.decades() {
		for _, k := range []float64{1, 2, 5} {
			if v*k > x.high*1.0001 {
				continue
			}
			s.line("grid", x.at(v*k), top, x.at(v*k), none, 1)
			s.words("dim", x.at(v*k), none+19, 12, "middle", "400", sharePercent(v*k))
		}
	}
	for _, v := range y.decades() {
		s.line("grid", left, y.at(v), right, y.at(v), 1)
		s.words("dim", left-9, y.at(v)+4, 12, "end", "400", sharePercent(v))
	}
	s.line("axis", left, none, right, none, 1.2)
	s.words("dim", left-9, none+4, 12, "end", "400", "none")
	s.words("ink", (left+right)/2, height-22, 13, "middle", "500", "reads that reached the origin")
	fmt.Fprintf(s, `<text class="ink" transform="translate(26 %d) rotate(-90)" font-size="13" font-weight="500" text-anchor="middle">responses that were stale</text>`+"\n", (top+bottom)/2)

	place := func(p point) (float64, float64) {
		if p.y <= 0 {
			return x.at(max(p.x, x.low)), none
		}
		return x.at(max(p.x, x.low)), y.at(p.y)
	}
	joined := map[string]bool{}
	for _, p := range points {
		if !p.joined || joined[p.family] {
			continue
		}
		joined[p.family] = true
		var path []string
		for _, q := range points {
			if q.joined && q.family == p.family {
				px, py := place(q)
				path = append(path, fmt.Sprintf("%.1f,%.1f", px, py))
			}
		}
		fmt.Fprintf(s, `<polyline class="s-%s" points="%s" fill="none" stroke-width="1.6" opacity="0.55"/>`+"\n", classOf(p.family), strings.Join(path, " "))
	}
	l := labels{right: right}
	for _, p := range points {
		px, py := place(p)
		l.taken = append(l.taken, box{px - 7, py - 7, px + 7, py + 7})
	}
	for _, p := range points {
		px, py := place(p)
		name, size, weight := p.family+", "+p.label, 12.5, "500"
		if p.label == "" {
			name, size, weight = "walpurge", 15, "700"
		}
		class := classOf(p.family)
		radius := 5.0
		if p.label == "" {
			radius = 8
		}
		fmt.Fprintf(s, `<circle class="f-%s" cx="%.1f" cy="%.1f" r="%g"/>`+"\n", class, px, py, radius)
		tx, ty, anchor := l.put(px, py, radius, size, name, p.y <= 0)
		s.words("halo f-"+class, tx, ty, size, anchor, weight, name)
		if p.note != "" {
			s.words("halo dim", tx, ty+17, 12, anchor, "400", p.note)
			l.taken = append(l.taken, box{tx, ty + 5, tx + float64(len(p.note))*6.4, ty + 20})
		}
	}
	return s.done()
}

// thousands writes a whole number with commas.
func thousands(x float64) string {
	text := strconv.FormatFloat(math.Round(x), 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

type box struct{ x1, y1, x2, y2 float64 }

func (b box) meets(c box) bool { return b.x1 < c.x2 && c.x1 < b.x2 && b.y1 < c.y2 && c.y1 < b.y2 }

// labels are put where none covers another, or a point.
type labels struct {
	right float64
	taken []box
}

// put finds a place for the label of a point: to the right, to the left, above or below.
func (l *labels) put(x, y, radius, size float64, text string, raised bool) (tx, ty float64, anchor string) {
	width, gap := float64(len([]rune(text)))*size*0.56, radius+6
	type spot struct {
		x, y   float64
		anchor string
		box    box
	}
	if raised { // from the axis
		y -= 14
	}
	var spots []spot
	for _, dy := range []float64{0, -16, 16, -32, 32, -48, 48} {
		base := y + size*0.35 + dy
		spots = append(spots,
			spot{x + gap, base, "start", box{x + gap, base - size, x + gap + width, base + 3}},
			spot{x - gap, base, "end", box{x - gap - width, base - size, x - gap, base + 3}})
	}
	for _, s := range spots {
		free := s.box.x2 < l.right+24 && s.box.x1 > 96
		for _, t := range l.taken {
			free = free && !s.box.meets(t)
		}
		if free {
			l.taken = append(l.taken, s.box)
			return s.x, s.y, s.anchor
		}
	}
	return spots[0].x, spots[0].y, spots[0].anchor
}
