package origin

// kind is a property type of the seed with what is plausible for it.
type kind struct {
	name     string
	share    int // of 100
	metres   [2]int
	bedrooms [2]int32 // {-1, -1} where the question makes no sense
}

func kinds() []kind {
	return []kind{
		{"apartment", 42, [2]int{45, 140}, [2]int32{1, 4}},
		{"house", 22, [2]int{80, 260}, [2]int32{2, 6}},
		{"studio", 11, [2]int{18, 45}, [2]int32{0, 0}},
		{"townhouse", 8, [2]int{90, 200}, [2]int32{2, 5}},
		{"villa", 6, [2]int{160, 480}, [2]int32{3, 8}},
		{"office", 5, [2]int{40, 900}, [2]int32{-1, -1}},
		{"shop", 3, [2]int{25, 300}, [2]int32{-1, -1}},
		{"land", 3, [2]int{200, 2000}, [2]int32{-1, -1}},
	}
}

// vocabulary is what titles and descriptions are put together from.
type vocabulary struct {
	manners, surroundings, conditions, transport, extras, terms []string
	firstNames, lastNames                                       []string
}

func words() vocabulary {
	return vocabulary{
		manners: []string{"Bright", "Quiet", "Renovated", "Spacious", "Compact", "Sunny", "Well-kept", "Modern", "Charming", "Airy"},
		surroundings: []string{
			"The street is calm, with shops and a bakery at the corner.",
			"A park and a weekly market are a few minutes away on foot.",
			"The neighbours are families and a few small workshops.",
			"Schools, a clinic and two supermarkets lie within walking distance.",
			"The building stands back from the road behind old trees.",
			"Cafés and a library make this one of the livelier corners of the quarter.",
		},
		conditions: []string{
			"Wiring and plumbing were replaced two years ago.",
			"The windows are double glazed and the roof was insulated recently.",
			"It was painted throughout last spring and is ready to move into.",
			"Some work is needed, and the price takes that into account.",
			"Floors are solid wood, and the original doors have been kept.",
			"A survey from this year is available on request.",
		},
		transport: []string{
			"The nearest stop is five minutes away.",
			"Two bus lines and a cycle path pass close by.",
			"The centre is a quarter of an hour by train.",
			"There is parking for one car, and a lockable shed for bicycles.",
			"The ring road can be reached without crossing the centre.",
		},
		extras: []string{
			"A balcony faces the courtyard.", "The roof terrace is shared with one other party.",
			"Solar panels cover most of the electricity.", "A backup generator and a water tank are installed.",
			"There is a cellar of twelve square metres.", "Fibre is connected.", "The garden gets the evening sun.",
		},
		terms: []string{
			"Viewings on weekdays after five and on Saturdays.", "Available at once.",
			"The present owner can stay flexible about the date.", "Please bring proof of funds to the first viewing.",
			"Offers are collected until the end of the month.",
		},
		firstNames: []string{
			"Adaeze", "Kwame", "Maria", "João", "Aisha", "Liam", "Mei", "Yuki", "Omar", "Ingrid", "Tomasz", "Lucía",
			"Priya", "Noah", "Fatou", "Elif", "Sven", "Chidi", "Ana", "Hana", "Diego", "Zanele", "Arjun", "Chloé",
		},
		lastNames: []string{
			"Okafor", "Mensah", "Silva", "Kovács", "Tanaka", "Smith", "Nguyen", "Haddad", "Nowak", "García", "Sharma", "Jensen",
			"Diallo", "Yılmaz", "Müller", "Adeyemi", "Rossi", "Kim", "Fernández", "Nkosi", "Patel", "Dubois", "Boateng", "Björnsdóttir",
		},
	}
}
