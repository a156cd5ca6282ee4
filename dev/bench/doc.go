// Command bench measures the proxy beside its peers, and its listener beside pg_recvlogical and pglogrepl.
//
// A number from one machine says nothing on another, and on a shared machine not even an hour later. So what counts
// here are ratios, and these rules make them worth something:
//
//   - M1: Contestants take turns within each round, and another one begins every time. Ratios are of medians over the
//     rounds of one run; the smallest and the largest value stand beside them.
//   - M2: A server has one core to itself. The load, the origin, Redis and the database are on another. Where the log
//     is read, the reader has the server's core.
//   - M3: CPU is what the kernel has charged to the server's whole process group while the load ran, by /proc/PID/stat:
//     children count, and so does what serving costs in the kernel.
//   - M4: A round proves its answers. Status and length of every response are compared with what they must be, and at
//     most one in ten thousand requests for hits has reached the origin. A round that can't prove that is an error, not a result.
//   - M5: Every round starts its servers afresh, so that no lucky or unlucky start decides. Where a million entries have to
//     be filled in first, the loads that are compared take turns at one process.
//   - M6: Nothing outlives the run: the servers are children that the kernel ends with this process, in a temporary
//     directory that goes with it. Only SIGKILL leaves the directory behind. Their configurations, in configs, and their
//     ports are their own; no service of the system is touched.
//   - M7: Latency counts from the moment at which a request was due, at a constant rate, and not from when it was sent: a
//     server that stalls delays all that should have been sent meanwhile, and none of that is hidden. Nothing is pipelined.
//   - M8: A goal stands beside its ratio whether it is met or not.
//
// Staleness is judged by a ledger of what was committed when. All strategies see the same reads and writes at the same
// time; each has an origin of its own that reads the row from PostgreSQL, so that it is known who asked.
//
// Purges are judged by the pages themselves: after each change of the listings service's rows, every page is compared with what it was, and a
// proxy's purge of it is a request that its service gets. Nobody is timed in that part, so that M1 and M2 don't count there.
//
// It wants bin/proxy and the other programs to be there: `make bench` sees to that. main.go lists the parts; each has a file part_NAME.go or shares
// one with its like.
package main
