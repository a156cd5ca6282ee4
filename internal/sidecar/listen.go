package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"walpurge/config"
)

// Names of the ports, as systemd's FileDescriptorName has them.
const (
	clientPort = "listen"
	adminPort  = "admin"
)

// firstInherited is the first file descriptor that a service manager passes on
// (sd_listen_fds(3)).
const firstInherited = 3

// inherited takes over the sockets that the service manager has opened, by
// name. Without names the first is for clients, the second for
// administrators. What is in the environment about them is not for children.
func inherited() (map[string]net.Listener, error) {
	pid, fds, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	if fds == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	n, err := strconv.Atoi(fds)
	if err != nil || n < 0 || n > 16 {
		return nil, fmt.Errorf("LISTEN_FDS is %q; it should be the number of sockets", fds)
	}
	called := strings.Split(names, ":")
	if names == "" {
		called = []string{clientPort, adminPort}
	}
	open := make(map[string]net.Listener)
	for i := range n {
		fd := firstInherited + i
		syscall.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "LISTEN_FD_"+strconv.Itoa(fd))
		ln, err := net.FileListener(f)
		_ = f.Close() // the listener has its own
		if err == nil && (i >= len(called) || called[i] != clientPort && called[i] != adminPort || open[called[i]] != nil) {
			_ = ln.Close()
			err = errors.New("it is none of ours")
		}
		if err != nil {
			for _, ln := range open {
				_ = ln.Close()
			}
			return nil, fmt.Errorf("take over socket %d of the service manager: %w; pass stream sockets that listen, with FileDescriptorName=listen and FileDescriptorName=admin", i+1, err)
		}
		open[called[i]] = ln
	}
	return open, nil
}

// openPort opens a port.
func openPort(ctx context.Context, a config.Address, reuse bool) (net.Listener, error) {
	var lc net.ListenConfig
	if reuse && a.Network == "tcp" {
		lc.Control = reusePort
		lc.SetMultipathTCP(false) // which takes no program to choose among sockets, see leavePort
	}
	ln, err := lc.Listen(ctx, a.Network, a.Address)
	if err == nil || a.Network != "unix" || !errors.Is(err, syscall.EADDRINUSE) {
		return ln, err
	}
	// A process that was killed leaves its socket's file behind. One that still
	// listens answers.
	conn, dialErr := new(net.Dialer).DialContext(ctx, a.Network, a.Address)
	if dialErr == nil {
		_ = conn.Close()
		return nil, err
	}
	info, statErr := os.Lstat(a.Address)
	if !errors.Is(dialErr, syscall.ECONNREFUSED) || statErr != nil || info.Mode().Type() != os.ModeSocket {
		return nil, err
	}
	if err := os.Remove(a.Address); err != nil {
		return nil, err
	}
	return lc.Listen(ctx, a.Network, a.Address)
}
