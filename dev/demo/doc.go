// Command demo shows the whole system at work on one machine: private PostgreSQL and Redis servers, the listings
// service, the proxy before it, readers, writers, and an auditor that looks for stale pages. The environment variables
// DEMO_FOR, DEMO_RATE, DEMO_CHANGES and DEMO_LISTINGS change its size. `demo levels` runs its traffic without a cache,
// with the service's query cache, with the proxy, and with both.
//
// What it keeps:
//
//   - D1: Nothing outlives it. The servers and the two programs are children that the kernel ends with this process;
//     asked to stop, it ends them in order and removes the data.
//   - D2: The load is open-loop: requests are sent when they are due, whether or not earlier ones have been answered
//     quickly, so a slow proxy shows.
//   - D3: "stale" is proven, never guessed. See [judge] for the rule and why it holds.
//   - D4: Every number comes from outside of the proxy's cache code: hits from Cache-Status, changes and purges from
//     its public metrics, staleness from the origin.
package main
