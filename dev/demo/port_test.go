package main

import (
	"net"
	"strings"
	"testing"
)

func TestListenAddressLeavesATakenPortAlone(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = listener.Close() }()
	taken := listener.Addr().(*net.TCPAddr)
	got, err := listenAddress(taken.Port)
	must(t, err)
	if got == taken.String() || !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("address %s, and %s is taken", got, taken)
	}
}

func TestListenAddressPrefersThePort(t *testing.T) {
	free, err := listenAddress(0)
	must(t, err)
	listener, err := net.Listen("tcp4", free)
	must(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	must(t, listener.Close())
	got, err := listenAddress(port)
	must(t, err)
	if got != free {
		t.Errorf("address %s, want %s, which is free", got, free)
	}
	if got, err = listenAddress(port, free); err != nil || got == free {
		t.Errorf("address %s (%v), and %s is spoken for", got, err, free)
	}
}
