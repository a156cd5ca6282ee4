package cdc

// Lost is a watched table that can't be followed: what depends on it is asked of
// the origin.
type Lost struct {
	Table string `json:"table"`
	Why   string `json:"why"` // with the mend
}
