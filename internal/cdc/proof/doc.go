// Package proof has how a proof of freshness is asked for (R6): who asks
// together ([FlushGroup]), how often, and when a log that stands still is
// nudged ([Standstill]). What an answer proves is for those who ask: the session
// of a leader, or a follower.
package proof
