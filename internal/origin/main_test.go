package origin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// database returns a connection to a database with n seeded listings, and its URL.
func database(t testing.TB, n int) (*pgx.Conn, string) {
	t.Helper()
	url := testbed.Database(t)
	conn := connect(t, url)
	if _, _, err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	if n > 0 {
		if _, err := Seed(t.Context(), conn, SeedOptions{Listings: n}); err != nil {
			t.Fatal(err)
		}
	}
	return conn, url
}

// service is the whole program behind a real port, with a client that doesn't follow redirects.
type service struct {
	t      testing.TB
	url    string
	client *http.Client
	conn   *pgx.Conn
	store  *Store
}

func start(t testing.TB, listings int) *service {
	t.Helper()
	conn, databaseURL := database(t, listings)
	store, err := Open(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	handler, err := Handler(store, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &service{t, server.URL, client, conn, store}
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request; headers are pairs of name and value.
func (s *service) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, content}
}

func (s *service) get(path string, headers ...string) answer {
	s.t.Helper()
	return s.do("GET", path, "", headers...)
}

func (s *service) send(method, path, body string) answer {
	s.t.Helper()
	return s.do(method, path, body, "Content-Type", "application/json")
}

func (s *service) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.conn.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatal(err)
	}
}

// decode fails on members that v doesn't know.
func decode[T any](t testing.TB, a answer) T {
	t.Helper()
	var v T
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return v
}
