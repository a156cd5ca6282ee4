// Package testbed runs private PostgreSQL and Redis servers for the tests, the benchmarks and the demo.
//
// The servers are the real programs of the system's packages; [ProgramsVariable] in the environment names those of
// another PostgreSQL. Each has a directory and a port of its own on
// 127.0.0.1; a server that already runs on the machine is never touched. Four things are kept:
//
//   - B1: No server outlives the process that started it, however that process ends. The kernel sends the
//     parent-death signal: SIGQUIT, an immediate shutdown, to PostgreSQL and SIGKILL to Redis.
//   - B2: No directory outlives it either, except after SIGKILL or a panic; what is left then is locked by nobody
//     and the next process removes it.
//   - B3: Whoever gets a URL has the server that was started for it: a port that was lost to another program is
//     noticed by asking the server who it is.
//   - B4: Every cluster has its own system identifier, although all of them are copies of one initdb.
//
// PostgreSQL refuses to run as root. Root's servers run as the user postgres, or nobody where there is none.
package testbed
