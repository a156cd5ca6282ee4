package outcome

import (
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// Reason says why something was decided. It is the same word in the log, in
// the metrics and in the detail of Cache-Status.
type Reason = rfc9111.Reason

// NoReason is what is said where none is needed.
const NoReason = rfc9111.NoReason

// The reasons beside those of a response's own head.
const (
	// Why a request isn't answered from the cache.
	Unproven      Reason = "unproven"       // no proof that what is stored is recent enough
	StrictRead    Reason = "strict"         // no proof that covers the request's arrival
	UncleanPath   Reason = "path"           // servers may read the path differently
	RequestBody   Reason = "body"           // a GET with a body
	Uncacheable   Reason = "uncacheable"    // the last response of the key could not be stored
	ClientNoStore Reason = "client"         // the request's Cache-Control
	OnlyIfCached  Reason = "only-if-cached" // nothing is stored
	PartialWanted Reason = "range"          // a part was asked for and nothing is stored
	Tunnel        Reason = "connect"        // CONNECT is for another kind of proxy
	MaxForwards   Reason = "max-forwards"   // a TRACE or OPTIONS request that may go no further
	Upgrade       Reason = "upgrade"        // the request asks for another protocol
	HiddenFields  Reason = "connection"     // the request's Connection names fields that are meant for the origin

	// Why a response isn't stored.
	TooLarge     Reason = "too-large"
	Stream       Reason = "stream" // of events, without an end in sight
	Incomplete   Reason = "incomplete"
	Changed      Reason = "change" // a row it depends on has changed meanwhile
	Pending      Reason = "pending"
	NewEpoch     Reason = "epoch"
	Invalidated  Reason = "invalidated" // an unsafe request has succeeded meanwhile
	Undeclared   Reason = "undeclared"  // it doesn't say, or not so that it can be followed, what it depends on
	OriginFailed        = upstream.Failed
	OriginSlow          = upstream.Slow
	OriginBusy          = upstream.Busy
	ClientGone   Reason = "client-gone"
)
