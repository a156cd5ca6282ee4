// Package rfc9111 has what HTTP says about caching, as decisions: whether a
// response is stored and for how long it is fresh (RFC 9111, 5861, 9213), what
// a request asks of a stored one, which requests want the same (Vary, content
// codings, languages, No-Vary-Search), what conditions, validators, ranges and
// dates say (RFC 9110), which groups a response is in (RFC 9875), and how what
// was decided is told (RFC 9211).
//
// Everything here is a function of fields: there is no I/O, no store and no
// state. The clock comes with the values; only a year of two digits is read by
// the process's own. A decision comes with its [Reason]. What can't be read
// counts as what keeps less.
//
// Names of fields in an [http.Header] are canonical, as net/http makes them.
// What the cache asks on the way of a hit, that is [AppendVariant],
// [PreferredCoding], [MatchesAny], [Ranges] without a Range and [CacheStatus.Append],
// allocates nothing.
package rfc9111
