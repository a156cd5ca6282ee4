// Package depends is which rows a response is computed from: as a route
// declares it with values of the request (Dependency, Expr), as the response
// names it (Depends-On, Cache-Groups), and as values in its body say. What a
// request says is read here, and what of it can't be read with certainty is no
// condition (C6, G5). It knows package coherence, and HTTP as packages http1
// and rfc9111 have it; nothing of routes or of what is stored.
package depends
