package origin

// place is a city that the seed puts listings in.
type place struct {
	city string
	// perMetre is what a square metre costs there, in US$, to the nearest plausible
	// hundred. It only has to make prices differ from city to city as they do.
	perMetre int
	quarters []string
}

// places stand in order of how many listings they get: the weight of the
// n-th is 1/n (Zipf), as it is for cities and for what people look at.
func places() []place {
	return []place{
		{"Lagos", 1400, []string{"Ikoyi", "Lekki", "Yaba", "Surulere", "Victoria Island"}},
		{"London", 9800, []string{"Hackney", "Camden", "Greenwich", "Brixton", "Ealing"}},
		{"São Paulo", 2300, []string{"Pinheiros", "Vila Mariana", "Moema", "Tatuapé", "Perdizes"}},
		{"New York", 12500, []string{"Harlem", "Astoria", "Park Slope", "Chelsea", "Bushwick"}},
		{"Accra", 1300, []string{"Osu", "Cantonments", "East Legon", "Labone", "Tema"}},
		{"Mumbai", 4200, []string{"Bandra", "Powai", "Andheri", "Worli", "Chembur"}},
		{"Paris", 10600, []string{"Belleville", "Le Marais", "Montmartre", "Batignolles", "Bercy"}},
		{"Tokyo", 8900, []string{"Nakameguro", "Kichijoji", "Asakusa", "Shimokitazawa", "Koenji"}},
		{"Mexico City", 2400, []string{"Roma Norte", "Condesa", "Coyoacán", "Narvarte", "Polanco"}},
		{"Nairobi", 1200, []string{"Kilimani", "Westlands", "Karen", "Lavington", "South B"}},
		{"Berlin", 5600, []string{"Kreuzberg", "Prenzlauer Berg", "Wedding", "Neukölln", "Moabit"}},
		{"Istanbul", 1700, []string{"Kadıköy", "Beşiktaş", "Üsküdar", "Şişli", "Moda"}},
		{"Cairo", 900, []string{"Zamalek", "Maadi", "Heliopolis", "Dokki", "New Cairo"}},
		{"Toronto", 7100, []string{"Leslieville", "The Annex", "Liberty Village", "Etobicoke", "Riverdale"}},
		{"Sydney", 9400, []string{"Newtown", "Bondi", "Marrickville", "Parramatta", "Manly"}},
		{"Dubai", 4600, []string{"Marina", "Jumeirah", "Deira", "Business Bay", "Al Barsha"}},
		{"Madrid", 5100, []string{"Malasaña", "Chamberí", "Lavapiés", "Salamanca", "Retiro"}},
		{"Buenos Aires", 2200, []string{"Palermo", "Recoleta", "San Telmo", "Belgrano", "Caballito"}},
		{"Johannesburg", 1100, []string{"Sandton", "Rosebank", "Melville", "Parkhurst", "Soweto"}},
		{"Singapore", 14200, []string{"Tiong Bahru", "Bedok", "Novena", "Queenstown", "Katong"}},
		{"Bengaluru", 1500, []string{"Indiranagar", "Koramangala", "Whitefield", "Jayanagar", "Hebbal"}},
		{"Lisbon", 5200, []string{"Alfama", "Graça", "Campo de Ourique", "Belém", "Arroios"}},
		{"Los Angeles", 8200, []string{"Silver Lake", "Echo Park", "Venice", "Highland Park", "Culver City"}},
		{"Jakarta", 1600, []string{"Kemang", "Menteng", "Kuningan", "Kebayoran", "Kelapa Gading"}},
		{"Seoul", 10900, []string{"Mapo", "Seongsu", "Itaewon", "Gangnam", "Jongno"}},
		{"Rome", 4100, []string{"Trastevere", "Monti", "Testaccio", "Prati", "San Lorenzo"}},
		{"Bogotá", 1500, []string{"Chapinero", "Usaquén", "La Candelaria", "Teusaquillo", "Cedritos"}},
		{"Casablanca", 1500, []string{"Maarif", "Anfa", "Gauthier", "Racine", "Bourgogne"}},
		{"Warsaw", 4000, []string{"Mokotów", "Praga", "Żoliborz", "Wola", "Ochota"}},
		{"Bangkok", 3200, []string{"Ari", "Thonglor", "Sathorn", "Ekkamai", "Bang Na"}},
		{"Amsterdam", 8300, []string{"De Pijp", "Jordaan", "Oost", "Noord", "Westerpark"}},
		{"Chicago", 3300, []string{"Logan Square", "Pilsen", "Hyde Park", "Lakeview", "Bridgeport"}},
		{"Lima", 1900, []string{"Miraflores", "Barranco", "San Isidro", "Surco", "Jesús María"}},
		{"Manila", 2700, []string{"Makati", "Malate", "Quezon", "Taguig", "Pasig"}},
		{"Vienna", 6100, []string{"Neubau", "Leopoldstadt", "Josefstadt", "Favoriten", "Döbling"}},
		{"Kigali", 800, []string{"Kiyovu", "Nyarutarama", "Kimihurura", "Remera", "Gisozi"}},
		{"Zürich", 16800, []string{"Wiedikon", "Oerlikon", "Seefeld", "Altstetten", "Enge"}},
		{"Auckland", 6300, []string{"Ponsonby", "Grey Lynn", "Mount Eden", "Devonport", "Parnell"}},
		{"Dakar", 1300, []string{"Plateau", "Almadies", "Ouakam", "Mermoz", "Ngor"}},
		{"Reykjavík", 5900, []string{"Vesturbær", "Hlíðar", "Laugardalur", "Miðborg", "Grafarvogur"}},
	}
}

// cityNames are the seeded cities, for links and suggestions.
func cityNames() []string {
	var names []string
	for _, p := range places() {
		names = append(names, p.city)
	}
	return names
}
