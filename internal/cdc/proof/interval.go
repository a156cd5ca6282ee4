package proof

import "time"

// ProbeInterval is how often the proof of freshness is renewed.
func ProbeInterval(lag time.Duration) time.Duration {
	return min(FollowerInterval(lag), 50*time.Millisecond)
}

// FollowerInterval is the same on a follower.
func FollowerInterval(lag time.Duration) time.Duration {
	return min(max(lag/10, 5*time.Millisecond), time.Second)
}

// LookInterval is how often the catalogue is looked at: a hit needs a look that
// is as young as the proof of the position.
func LookInterval(lag time.Duration) time.Duration {
	return min(max(lag/10, 5*time.Millisecond), 250*time.Millisecond)
}

// FollowerLookInterval is the same on a follower.
func FollowerLookInterval(lag time.Duration) time.Duration {
	return min(max(lag/4, 5*time.Millisecond), time.Second)
}
