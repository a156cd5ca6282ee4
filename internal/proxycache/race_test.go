//go:build race

package proxycache

const raceEnabled = true
