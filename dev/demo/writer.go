package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
)

// writePatience bounds one write. A write that has begun is finished even when the demo is asked to stop, so that its
// outcome is known.
const writePatience = 30 * time.Second

// writer changes listings: mostly in the database, where nobody could tell the proxy, some through the service. It is
// for one goroutine.
type writer struct {
	*audience
	conn      *pgx.Conn
	client    *client
	origin    string // the service's URL
	ledger    *ledger
	committed chan<- page // pages that have just changed; full is no reason to wait
	inserted  []int64     // by this writer, oldest first: what it may delete
}

// change does one random thing and returns how many rows it changed.
func (w *writer) change(ctx context.Context) (int, error) {
	switch n := w.random.IntN(100); {
	case n < 45:
		return w.editPrice(ctx)
	case n < 55:
		return w.move(ctx)
	case n < 63:
		return w.editText(ctx)
	case n < 72:
		return w.insert(ctx)
	case n < 80:
		return w.remove(ctx)
	case n < 92:
		return w.patch(ctx)
	default:
		return w.post(ctx)
	}
}

// target is the listing to change: half of the time one that many look at.
func (w *writer) target() int64 {
	if w.random.IntN(2) == 0 {
		return w.popularListing()
	}
	return w.anyListing()
}

// Every statement returns the rows' ids with the cities they were in and are in.
const (
	beforeOne  = "WITH before AS (SELECT id, city FROM listings WHERE id = $1 FOR UPDATE) "
	beforeBulk = "WITH before AS (SELECT id, city FROM listings WHERE city = $1 AND property_type = $2 ORDER BY id LIMIT $3 FOR UPDATE) "
	fromBefore = " FROM before WHERE listings.id = before.id RETURNING listings.id, before.city, listings.city"
	newPrice   = "UPDATE listings SET price = round(price * $2::numeric, 2), updated_at = now()"
	bulkPrice  = "UPDATE listings SET price = round(price * $4::numeric, 2), updated_at = now()"
)

func (w *writer) editPrice(ctx context.Context) (int, error) {
	return w.execute(ctx, beforeOne+newPrice+fromBefore, w.target(), w.factor())
}

// factor changes a price by up to a tenth, and by something: 1.000 is left out.
func (w *writer) factor() string {
	n := 901 + w.random.IntN(199)
	if n >= 1000 {
		n++
	}
	return fmt.Sprintf("%d.%03d", n/1000, n%1000)
}

func (w *writer) move(ctx context.Context) (int, error) {
	return w.execute(ctx, beforeOne+"UPDATE listings SET city = $2, updated_at = now()"+fromBefore, w.target(), w.popularCity())
}

// editText changes what detail pages show and lists don't.
func (w *writer) editText(ctx context.Context) (int, error) {
	return w.execute(ctx, beforeOne+"UPDATE listings SET description = $2, updated_at = now()"+fromBefore, w.target(), w.text())
}

func (w *writer) text() string {
	return fmt.Sprintf("Seen again on visit %d; the photographs are from that day.", w.random.IntN(1_000_000))
}

func (w *writer) insert(ctx context.Context) (int, error) {
	return w.execute(ctx, `INSERT INTO listings (title, description, price, city, property_type, bedrooms, agent_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id, city, city`,
		"Just listed", w.text(), 50_000+w.random.IntN(900_000), w.popularCity(), pick(w.audience, w.types),
		1+w.random.IntN(5), 1+w.random.Int64N(w.agents))
}

// remove deletes a listing that it has inserted, once there are some, so that the table keeps its size.
func (w *writer) remove(ctx context.Context) (int, error) {
	id := w.anyListing()
	if len(w.inserted) > 5 {
		id, w.inserted = w.inserted[0], w.inserted[1:]
	}
	return w.execute(ctx, "DELETE FROM listings WHERE id = $1 RETURNING id, city, city", id)
}

// bulk changes the prices of some hundred rows in one statement.
func (w *writer) bulk(ctx context.Context) (int, error) {
	return w.execute(ctx, beforeBulk+bulkPrice+fromBefore, w.popularCity(), w.types[0], 200+w.random.IntN(300), w.factor())
}

// execute runs one statement, which commits by itself, and enters it into the ledger.
func (w *writer) execute(ctx context.Context, statement string, args ...any) (int, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writePatience)
	defer cancel()
	entry := w.ledger.begin()
	done, err := collect(w.conn.Query(ctx, statement, args...))
	if err != nil {
		w.ledger.end(entry, nil)
		return 0, fmt.Errorf("change a listing in the database: %w", err)
	}
	w.ledger.end(entry, done)
	w.tell(*done)
	return len(done.ids), nil
}

func collect(rows pgx.Rows, err error) (*touch, error) {
	if err != nil {
		return nil, err
	}
	done := &touch{}
	var id int64
	var before, after string
	_, err = pgx.ForEachRow(rows, []any{&id, &before, &after}, func() error {
		done.ids = append(done.ids, id)
		done.cities = append(done.cities, before, after)
		return nil
	})
	return done, err
}

// tell offers a page that has changed to the auditor, who is to look at once, and remembers what was inserted.
func (w *writer) tell(done touch) {
	if len(done.ids) == 0 {
		return
	}
	id := done.ids[w.random.IntN(len(done.ids))]
	if id > w.newest.Load() {
		w.inserted = append(w.inserted, id)
	}
	for _, id := range done.ids {
		w.born(id)
	}
	select {
	case w.committed <- detail(pick(w.audience, []string{"/api", ""}), id):
	default:
	}
}

// patch edits a listing through the service.
func (w *writer) patch(ctx context.Context) (int, error) {
	edit := map[string]any{"status": pick(w.audience, []string{"active", "pending", "sold"})}
	if w.random.IntN(2) == 0 {
		edit = map[string]any{"price": 50_000 + w.random.IntN(900_000)}
	}
	return w.call(ctx, http.MethodPatch, fmt.Sprintf("/api/listings/%d", w.target()), edit)
}

// post inserts a listing through the service.
func (w *writer) post(ctx context.Context) (int, error) {
	return w.call(ctx, http.MethodPost, "/api/listings", map[string]any{
		"title": "Listed by its owner", "description": w.text(), "price": 50_000 + w.random.IntN(900_000),
		"city": w.popularCity(), "property_type": pick(w.audience, w.types), "bedrooms": 1 + w.random.IntN(5),
	})
}

// call sends an edit that doesn't change a listing's city.
func (w *writer) call(ctx context.Context, method, target string, edit map[string]any) (changed int, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writePatience)
	defer cancel()
	entry := w.ledger.begin()
	var done *touch
	defer func() { w.ledger.end(entry, done) }()

	body, err := json.Marshal(edit)
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, method, w.origin+target, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := w.client.http.Do(request)
	if err != nil {
		return 0, fmt.Errorf("change a listing through the service: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, fmt.Errorf("change a listing through the service: %w", err)
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusCreated:
	case http.StatusNotFound: // somebody has deleted it
		done = &touch{}
		return 0, nil
	default:
		return 0, fmt.Errorf("change a listing through the service: %s %s: %s: %s", method, target, response.Status, bytes.TrimSpace(text))
	}
	var listing struct {
		ID   int64
		City string
	}
	if err := json.Unmarshal(text, &listing); err != nil {
		return 0, fmt.Errorf("change a listing through the service: %w", err)
	}
	done = &touch{ids: []int64{listing.ID}, cities: []string{listing.City}}
	w.tell(*done)
	return 1, nil
}
