package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// ownBytes is how many bytes an entry has of its own: its URL, and its response as a client gets it, without what is made
// anew for each answer.
func ownBytes(address, path string) (int, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return 0, fmt.Errorf("ask for %s: %w", path, err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return 0, fmt.Errorf("ask for %s: %w", path, err)
	}
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); err != nil {
		return 0, fmt.Errorf("ask for %s: %w", path, err)
	}
	response, err := io.ReadAll(conn)
	if err != nil {
		return 0, fmt.Errorf("ask for %s: %w", path, err)
	}
	head, body, whole := bytes.Cut(response, []byte("\r\n\r\n"))
	if !whole || !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return 0, fmt.Errorf("ask for %s: the answer is %.60q", path, response)
	}
	n := len("http://"+host+path) + len(body)
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		switch name, _, _ := strings.Cut(string(line), ":"); name {
		case "Age", "Cache-Status", "Connection", "X-Varnish":
		default:
			n += len(line) + 2
		}
	}
	return n, nil
}
