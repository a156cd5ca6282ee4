package cdc

import "time"

// probeInterval is how often the proof of freshness is renewed.
func probeInterval(lag time.Duration) time.Duration {
	return min(followerInterval(lag), 50*time.Millisecond)
}

// followerInterval is the same on a follower.
func followerInterval(lag time.Duration) time.Duration {
	return min(max(lag/10, 5*time.Millisecond), time.Second)
}

// lookInterval is how often the catalogue is looked at: a hit needs a look that
// is as young as the proof of the position. followerLookInterval is the same on
// a follower.
func lookInterval(lag time.Duration) time.Duration {
	return min(max(lag/10, 5*time.Millisecond), 250*time.Millisecond)
}

func followerLookInterval(lag time.Duration) time.Duration {
	return min(max(lag/4, 5*time.Millisecond), time.Second)
}
