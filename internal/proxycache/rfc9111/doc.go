// Package rfc9111 decides what a shared cache may do with a response: whether
// it is stored and for how long it is fresh (RFC 9111, 5861, 9213), what a
// request asks of a stored one, and what dates, validators and ranges say (RFC
// 9110), which caching rests upon.
//
// Everything here is a function of a request's and a response's fields: there
// is no I/O, no store and no state. The clock comes with the values; only a
// year of two digits is read by the process's own. A decision comes with its
// [Reason]. What can't be read counts as what keeps less.
//
// Names of fields in an [http.Header] are canonical, as net/http makes them.
// What is asked on the way of a hit allocates nothing.
package rfc9111
