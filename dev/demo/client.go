package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/dunglas/httpsfv"
)

// requestPatience bounds one request. It is above the time limits of origin, so what exceeds it hangs.
const requestPatience = 30 * time.Second

// answer is a response as the auditor compares it.
type answer struct {
	status         int
	contentType    string
	body           []byte
	hit            bool // served from the proxy's cache
	sent, received time.Time
}

// same reports whether two answers show the same.
func (a answer) same(b answer) bool {
	return a.status == b.status && a.contentType == b.contentType && bytes.Equal(a.body, b.body)
}

// client keeps its connections alive, at most so many to each server, follows no redirects and asks for no compression.
type client struct{ http *http.Client }

func newClient(connections int) *client {
	return &client{&http.Client{
		Transport: &http.Transport{
			MaxIdleConns: 3 * connections, MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, IdleConnTimeout: time.Minute,
			DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       requestPatience,
	}}
}

// get asks for url and copies the body to sink. A status of 500 or above is an error: nothing in the demo should meet one.
func (c *client) get(ctx context.Context, url string, sink io.Writer) (a answer, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return a, err
	}
	a.sent = time.Now()
	response, err := c.http.Do(request)
	if err != nil {
		return a, err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(sink, response.Body); err != nil {
		return a, fmt.Errorf("read the body of %s: %w", url, err)
	}
	a.received = time.Now()
	a.status, a.contentType = response.StatusCode, response.Header.Get("Content-Type")
	a.hit = isHit(response.Header.Values("Cache-Status"))
	if a.status >= 500 {
		return a, fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return a, nil
}

// page is get with the body kept.
func (c *client) page(ctx context.Context, url string) (answer, error) {
	var body bytes.Buffer
	a, err := c.get(ctx, url, &body)
	a.body = body.Bytes()
	return a, err
}

// isHit reads Cache-Status (RFC 9211): a list with one member for each cache on the way, ours is called walpurge.
func isHit(field []string) bool {
	list, err := httpsfv.UnmarshalList(field)
	if err != nil {
		return false
	}
	for _, member := range list {
		item, ok := member.(httpsfv.Item)
		if !ok || item.Value != httpsfv.Token("walpurge") {
			continue
		}
		hit, _ := item.Params.Get("hit")
		if yes, _ := hit.(bool); yes {
			return true
		}
	}
	return false
}
