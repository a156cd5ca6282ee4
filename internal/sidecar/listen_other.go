//go:build !linux

package sidecar

import (
	"context"
	"errors"
	"net"
	"syscall"
)

func reusePort(_, _ string, _ syscall.RawConn) error {
	return errors.New("reuse_port works on Linux only; take it out")
}

func leavePort(context.Context, net.Listener) {}
