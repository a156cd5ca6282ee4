// Package redistier keeps responses in Redis, where all proxies find them: how a
// value is written and read, a queue of writes, reads that are gathered, and
// what the servers say of themselves. Whether a response that lies there may
// be served, others decide. It knows packages store and route for what an entry
// is, and redisclient for which servers a URL means.
package redistier
