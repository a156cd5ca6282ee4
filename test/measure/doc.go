// Package measure holds the tests that want all cores of the machine for themselves: what they say about throughput and
// delay counts for nothing beside others.
package measure
