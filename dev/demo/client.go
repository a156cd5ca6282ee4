package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// requestPatience bounds one request. It is above the time limits of origin, so what exceeds it hangs.
const requestPatience = 30 * time.Second

// answer is a response as the auditor compares it.
type answer struct {
	status         int
	contentType    string
	body           []byte
	hit            bool // served from the proxy's cache
	cause          cause
	waited         bool // for the origin
	sent, received time.Time
}

// same reports whether two answers show the same.
func (a answer) same(b answer) bool {
	return a.status == b.status && a.contentType == b.contentType && bytes.Equal(a.body, b.body)
}

// client keeps its connections alive, at most so many to each server, follows no redirects and asks for no compression.
type client struct {
	http   *http.Client
	visits *visits
}

func newClient(connections int) *client {
	return &client{visits: newVisits(), http: &http.Client{
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
	kept := c.visits.kept(url)
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
	status := readStatus(response.Header.Values("Cache-Status"))
	a.hit, a.waited, a.cause = status.hit, status.asked, c.visits.answered(url, kept, status)
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
