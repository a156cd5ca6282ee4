// Package origin is a plain property-listings service: PostgreSQL behind a
// JSON API and a few HTML pages. It stands for the services that a cache is
// put in front of, so it behaves as they do: every GET carries an ETag, none
// carries Cache-Control, and the handlers know of no cache. Pages name the
// agents that they show (depends_on.go), which their addresses don't tell. The
// named queries (queries.go) may come from a cache of their own, package querycache.
//
// What the rest of the package keeps:
//
//  1. One SQL statement a request, and each one is served by an index. List
//     pages find out whether more follows by reading one row too many, not by
//     counting.
//  2. Every sort order ends in the id, so that rows with equal sort keys keep
//     their places from page to page.
//  3. A response is built whole before its first byte is sent: it has a
//     Content-Length and a strong ETag over exactly those bytes, and an error
//     halfway through never leaves half a page with status 200.
//  4. Failures are problem documents (RFC 9457) under /api and small HTML
//     pages elsewhere. Their text never repeats what the database said.
package origin
