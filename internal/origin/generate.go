package origin

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"time"
)

// generator makes up agents and listings, the same ones every time. Rows have to
// be asked for in order.
type generator struct {
	random   *rand.Rand
	listings int
	agents   int
	places   []place
	weight   []float64 // of places, accumulated
	kinds    []kind
	words    vocabulary
}

func newGenerator(size Seeded) *generator {
	g := &generator{
		random:   rand.New(rand.NewPCG(20240101, 100_000)),
		listings: size.Listings,
		agents:   size.Agents,
		places:   places(),
		kinds:    kinds(),
		words:    words(),
	}
	total := 0.0
	for i := range g.places {
		total += 1 / float64(i+1)
		g.weight = append(g.weight, total)
	}
	return g
}

func agentColumns() []string { return []string{"id", "name", "phone", "email"} }

func (g *generator) agent(id int) []any {
	first, last := g.pick(g.words.firstNames), g.pick(g.words.lastNames)
	// 555 01xx is kept for made-up numbers, example.com for made-up addresses.
	phone := fmt.Sprintf("+1 202 555 01%02d", g.random.IntN(100))
	email := fmt.Sprintf("agent%d@example.com", id)
	return []any{int64(id), first + " " + last, phone, email}
}

func listingColumns() []string {
	return []string{
		"id", "title", "description", "price", "city", "property_type", "bedrooms", "status", "agent_id",
		"created_at", "updated_at",
	}
}

func (g *generator) listing(id int) []any {
	place := g.place()
	kind := g.kind()
	quarter := g.pick(place.quarters)
	metres := g.between(kind.metres[0], kind.metres[1])

	var bedrooms any
	size := ""
	if kind.bedrooms[0] >= 0 {
		n := int32(g.between(int(kind.bedrooms[0]), int(kind.bedrooms[1])))
		bedrooms = n
		if n > 0 {
			size = fmt.Sprintf("%d-bedroom ", n)
		}
	}
	what := kind.name
	if what == "land" {
		what = "plot"
	}
	title := fmt.Sprintf("%s %s%s in %s", g.pick(g.words.manners), size, what, quarter)

	var description any
	if g.random.IntN(100) > 0 { // one in a hundred has none
		description = g.description(what, quarter, place.city, metres)
	}
	created := g.instant(id)
	updated := created.Add(time.Duration(g.random.IntN(30*24*3600)) * time.Second)
	return []any{
		int64(id), title, description, g.price(place, kind, metres), place.city, kind.name, bedrooms, g.status(),
		int64(1 + g.random.IntN(g.agents)), created, updated,
	}
}

func (g *generator) description(what, quarter, city string, metres int) string {
	sentences := []string{
		fmt.Sprintf("This %s of %d square metres lies in %s, %s.", what, metres, quarter, city),
		g.pick(g.words.surroundings),
		g.pick(g.words.transport),
	}
	if what != "plot" {
		sentences = append(sentences, g.pick(g.words.conditions), g.pick(g.words.extras))
	}
	return strings.Join(append(sentences, g.pick(g.words.terms)), " ")
}

// price depends on the place and the size and varies by a third either way. Most sellers
// round to thousands; the others make sure that cents occur.
func (g *generator) price(place place, kind kind, metres int) Price {
	dollars := float64(place.perMetre*metres) * (0.67 + 0.66*g.random.Float64())
	if kind.name == "land" {
		dollars /= 8
	}
	if g.random.IntN(10) < 8 {
		return Price(max(1, int64(dollars/1000))) * 1000 * 100
	}
	return Price(dollars * 100)
}

func (g *generator) status() string {
	switch n := g.random.IntN(100); {
	case n < 84:
		return "active"
	case n < 91:
		return "pending"
	case n < 98:
		return "sold"
	default:
		return "withdrawn"
	}
}

// instant is when a listing was made: later ids come later, give or take some hours. To the
// minute, so that some share one, which is what a stable order has to cope with.
func (g *generator) instant(id int) time.Time {
	share := time.Duration(int64(seedSpan) / int64(g.listings) * int64(id))
	jitter := time.Duration(g.random.Int64N(int64(6 * time.Hour)))
	return seedStart.Add(share + jitter).Truncate(time.Minute)
}

func (g *generator) place() place {
	x := g.random.Float64() * g.weight[len(g.weight)-1]
	return g.places[sort.SearchFloat64s(g.weight, x)]
}

func (g *generator) kind() kind {
	n := g.random.IntN(100)
	at := slices.IndexFunc(g.kinds, func(k kind) bool { n -= k.share; return n < 0 })
	return g.kinds[at]
}

// between is evenly distributed over low to high, both included.
func (g *generator) between(low, high int) int { return low + g.random.IntN(high-low+1) }

func (g *generator) pick(from []string) string { return from[g.random.IntN(len(from))] }
