package primary

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// gatherBytes is how much is waited for.
const gatherBytes = 64 << 10

// gatherer lets what a TCP connection receives gather in the kernel. As long
// as there is less than gatherBytes, packets wake nobody: not the reader, and
// not the Go runtime's poller, which would be woken for each packet though
// nobody reads.
type gatherer struct {
	raw  syscall.RawConn
	high bool // INVARIANT: false whenever a read may wait
}

// newGatherer is nil unless conn is TCP.
func newGatherer(conn net.Conn) *gatherer {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return &gatherer{raw: raw}
}

// gather waits until much has come in, or for as long as it is told.
func (g *gatherer) gather(patience time.Duration) {
	if g == nil {
		ts := unix.NsecToTimespec(patience.Nanoseconds())
		_ = unix.Nanosleep(&ts, nil) // an interruption only shortens it
		return
	}
	enough := false
	err := g.raw.Control(func(fd uintptr) {
		if !g.high {
			g.high = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, gatherBytes) == nil
		}
		ts := unix.NsecToTimespec(patience.Nanoseconds())
		ready, err := unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, &ts, nil)
		enough = err == nil && ready > 0
	})
	if err != nil || !enough {
		g.calm()
	}
}

// calm lets every packet wake the reader again.
func (g *gatherer) calm() {
	if g == nil || !g.high {
		return
	}
	g.high = false
	_ = g.raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, 1) // fails on no TCP socket
	})
}
