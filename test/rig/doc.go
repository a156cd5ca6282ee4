// Package rig is the whole product on real servers, for the tests of the other folders: the listings service on a
// database of its own, proxies before it, cables that can be cut, and the trial that holds what clients are shown
// against what was committed when. Only packages below test know it.
package rig
