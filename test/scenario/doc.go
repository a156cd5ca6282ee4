// Package scenario plays what happens to a running proxy, one thing a file: rows that change, servers that go and come
// back, files that are reloaded, people who ask for its status. The product is whole and the servers are real.
package scenario
