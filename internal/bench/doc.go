// Package bench measures the proxy beside its peers, and its listener beside pg_recvlogical.
//
// A number from one machine says nothing on another, and on a shared machine not even an hour later. So what counts
// here are ratios, and these rules make them worth something:
//
//   - M1: Contestants take turns within each round, and another one begins every time. Ratios are of medians over the
//     rounds of one run; the smallest and the largest value stand beside them.
//   - M2: A server has one core to itself. The load, the origin and the database are on another.
//   - M3: CPU is what the kernel has charged to the server's whole process group while the load ran, by /proc/PID/stat:
//     children count, and so does what serving costs in the kernel.
//   - M4: A round proves its answers. Before and after it the response is compared byte by byte, every request in
//     between has succeeded, and at most one in ten thousand has reached the origin. A round that can't prove that is an error, not a result.
//   - M5: Every round starts its servers afresh, so that no lucky or unlucky start decides.
//   - M6: Nothing outlives the run: the servers are children that the kernel ends with this process, in a temporary
//     directory that goes with it. Only SIGKILL leaves the directory behind.
package bench
