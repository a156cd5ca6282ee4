package rfc9111

// Reason says why something was decided. It is the same word in the log, in
// the metrics and in the detail of Cache-Status.
type Reason string

// Why a response isn't stored. Empty means that no reason was needed.
const (
	NoReason Reason = ""

	StatusCode Reason = "status"
	NoStore    Reason = "no-store"
	Private    Reason = "private"
	SetCookie  Reason = "set-cookie"
	NoCache    Reason = "no-cache"
	NoLifetime Reason = "no-lifetime" // the origin gives none and the route has no dependencies
	Expired    Reason = "expired"     // its lifetime was over on arrival, and it can't be validated
	VaryStar   Reason = "vary"
	Unknown    Reason = "must-understand" // the origin wants its status code understood, and it isn't
	Authorized Reason = "authorization"   // the request had credentials, and nothing says that others may have it
	RouteTTL   Reason = "ttl"             // the route keeps nothing
)
