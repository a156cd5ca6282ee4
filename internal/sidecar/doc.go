// Package sidecar is the program proxy: its commands and flags, what it starts and stops and in which order, reload, and
// what it tells of itself. All that it does is done by the packages below; here they are given their settings and each
// other. Only the program, and the tests of the whole product, know it.
package sidecar
