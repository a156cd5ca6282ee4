package main

import (
	"fmt"
	"net"
	"slices"
)

// listenAddress is the preferred port of 127.0.0.1 if it is free at this moment, or else another free one. Both are free
// for as long as nobody takes them; a program that finds its port taken says so and ends.
func listenAddress(preferred int, taken ...string) (string, error) {
	var failure error
	for _, port := range []int{preferred, 0, 0, 0} {
		listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			failure = err
			continue
		}
		address := listener.Addr().String()
		if err := listener.Close(); err != nil {
			return "", err
		}
		if !slices.Contains(taken, address) {
			return address, nil
		}
	}
	return "", fmt.Errorf("find a free port: %w", failure)
}
