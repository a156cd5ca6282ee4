//go:build !race

package proxycache

const raceEnabled = false
