package rfc9111

import "github.com/dunglas/httpsfv"

// MaxGroups bounds the groups of one response; those beyond don't count. RFC 9875
// section 2 asks for at least 32.
const MaxGroups = 128

// GroupNames are the members of a list of strings, as Cache-Groups and
// Cache-Group-Invalidation are (RFC 9875 sections 2 and 3). A field that can't
// be read has none.
func GroupNames(values []string) []string {
	if len(values) == 0 {
		return nil
	}
	list, err := httpsfv.UnmarshalList(values)
	if err != nil {
		return nil
	}
	var names []string
	for _, member := range list[:min(len(list), MaxGroups)] {
		if item, ok := member.(httpsfv.Item); ok {
			if name, ok := item.Value.(string); ok {
				names = append(names, name)
			}
		}
	}
	return names
}
