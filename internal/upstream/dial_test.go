package upstream

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

// TestOriginOnLocalhostIsReachedOnEitherFamily: many frameworks listen on ::1 alone where the hosts file has 127.0.0.1, and the other way.
func TestOriginOnLocalhostIsReachedOnEitherFamily(t *testing.T) {
	for _, at := range []string{"127.0.0.1", "::1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
		if err != nil {
			t.Fatalf("this machine must have %s: %v", at, err)
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
		_ = server.Listener.Close()
		server.Listener = l
		server.Start()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		for _, host := range []string{"localhost", "api.localhost"} { // whatever the hosts file says
			u := New(&Options{URL: &url.URL{Scheme: "http", Host: host + ":" + port}, ConnectTimeout: 5 * time.Second}, func(float64) {})
			resp, err := u.Send(u.Request(t.Context(), "GET", "/", host, http.Header{}), nil)
			if err != nil {
				t.Errorf("an origin %s on %s: %v", host, at, err)
			} else {
				_ = resp.Body.Close()
			}
			u.Close()
		}
		server.Close()
	}
}
