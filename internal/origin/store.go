package origin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"walpurge/internal/conninfo"
)

// What a store's methods return besides failures of the database.
var (
	// ErrNotFound: no row has that id.
	ErrNotFound = errors.New("not found")
	// ErrNoAgent: an edit names an agent that doesn't exist.
	ErrNoAgent = errors.New("no such agent")
)

// defaultConns is how many connections a store opens at most, unless the URL
// gives pool_max_conns.
const defaultConns = 16

// statementTimeout bounds every statement on the server's side, in milliseconds.
// It stands below the HTTP write timeout, so the client gets an answer.
const statementTimeout = "10000"

// Store reads and writes listings. It is safe for concurrent use.
type Store struct {
	pool     *pgxpool.Pool
	registry *prometheus.Registry
	queries  queries
}

// Open connects to the database and checks that the schema is the one this program
// was written for. Close the store after use.
func Open(ctx context.Context, databaseURL string) (*Store, error) {
	info, err := conninfo.Parse(databaseURL)
	if err != nil {
		return nil, err
	}
	config, err := info.Pool()
	if err != nil {
		return nil, err
	}
	if _, set := config.ConnConfig.RuntimeParams["statement_timeout"]; !set {
		config.ConnConfig.RuntimeParams["statement_timeout"] = statementTimeout
	}
	if _, set := config.ConnConfig.RuntimeParams["application_name"]; !set {
		config.ConnConfig.RuntimeParams["application_name"] = "origin"
	}
	if !info.Given("pool_max_conns") {
		config.MaxConns = defaultConns
	}
	registry := prometheus.NewRegistry()
	config.ConnConfig.Tracer = countQueries(registry)
	// The pool outlives ctx, which ends with the start.
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
	if err != nil {
		return nil, fmt.Errorf("open the connection pool: %w", err)
	}
	s := &Store{pool: pool, registry: registry}
	s.queries = queries{list: s.List, listing: s.Listing, counts: s.counts, front: s.front}
	err = pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error { return CheckSchema(ctx, conn.Conn()) })
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the connections.
func (s *Store) Close() { s.pool.Close() }

// Ping asks the database for a sign of life.
func (s *Store) Ping(ctx context.Context) error {
	return s.pool.Ping(ctx)
}

// List returns one page of listings.
func (s *Store) List(ctx context.Context, f Filter) (Page, error) {
	page := Page{Page: f.Page, PageSize: f.PageSize, Items: []Item{}}
	sql, args := f.statement()
	// Planned anew each time: with a cached generic plan PostgreSQL would guess the width of
	// the price range and the depth of the page, and both decide which index is right.
	args = append([]any{pgx.QueryExecModeCacheDescribe}, args...)
	rows, err := s.pool.Query(ctx, sql, args...)
	if err == nil {
		page.Items, err = pgx.AppendRows(page.Items, rows, func(row pgx.CollectableRow) (Item, error) { return scanItem(row) })
	}
	if err != nil {
		return Page{}, fmt.Errorf("list listings: %w", err)
	}
	page.trim()
	return page, nil
}

// trim takes off the row that says whether there is a next page.
func (p *Page) trim() {
	if len(p.Items) > p.PageSize {
		p.Items, p.HasMore = p.Items[:p.PageSize], true
	}
}

// scanItem reads a row of a list; more are for columns after the item's.
func scanItem(row pgx.CollectableRow, more ...any) (Item, error) {
	var item Item
	var agentID *int64
	var agentName *string
	err := row.Scan(append([]any{
		&item.ID, &item.Title, &item.Price, &item.City, &item.PropertyType, &item.Bedrooms,
		&item.Status, &item.CreatedAt, &agentID, &agentName,
	}, more...)...)
	if agentID != nil {
		item.Agent = &AgentRef{ID: *agentID, Name: *agentName}
	}
	item.CreatedAt = item.CreatedAt.UTC()
	return item, err
}

// The statements that read one row. listingColumnsFrom goes on with whatever
// is to be called l: the table, or the row that a statement before it has just written.
const (
	listingColumnsFrom = "select l.id, l.title, l.description, l.price, l.city, l.property_type, l.bedrooms, l.status, " +
		"l.created_at, l.updated_at, l.agent_id, a.id, a.name, a.phone, a.email from "
	withAgent   = " l left join public.agents a on a.id = l.agent_id"
	listingByID = listingColumnsFrom + "public.listings" + withAgent + " where l.id = $1"
	written     = listingColumnsFrom + "written" + withAgent
)

// Listing returns one listing or ErrNotFound.
func (s *Store) Listing(ctx context.Context, id int64) (Listing, error) {
	return s.listing(ctx, "read listing", listingByID, id)
}

// Create stores a listing; the edit must be complete. ErrNoAgent when it names
// an unknown agent.
func (s *Store) Create(ctx context.Context, edit Edit) (Listing, error) {
	var columns, places []string
	var args []any
	for i, a := range edit {
		columns = append(columns, a.column)
		places = append(places, "$"+strconv.Itoa(i+1))
		args = append(args, a.value)
	}
	sql := "with written as (insert into public.listings (" + strings.Join(columns, ", ") + ") values (" +
		strings.Join(places, ", ") + ") returning *) " + written
	return s.listing(ctx, "create listing", sql, args...)
}

// Update changes a listing and sets updated_at. An empty edit changes
// nothing. ErrNotFound, or ErrNoAgent when it names an unknown agent.
func (s *Store) Update(ctx context.Context, id int64, edit Edit) (Listing, error) {
	if len(edit) == 0 {
		return s.Listing(ctx, id)
	}
	set, args := edit.assignments(id)
	sql := "with written as (update public.listings set updated_at = now(), " + set + " where id = $1 returning *) " + written
	return s.listing(ctx, "update listing", sql, args...)
}

// assignments are what stands after SET, with the arguments; the first is id.
func (e Edit) assignments(id int64) (set string, args []any) {
	args = []any{id}
	var parts []string
	for i, a := range e {
		parts = append(parts, a.column+" = $"+strconv.Itoa(i+2))
		args = append(args, a.value)
	}
	return strings.Join(parts, ", "), args
}

// Delete removes a listing or returns ErrNotFound.
func (s *Store) Delete(ctx context.Context, id int64) error {
	tag, err := s.pool.Exec(ctx, "delete from public.listings where id = $1", id)
	if err != nil {
		return fmt.Errorf("delete listing: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	return nil
}

func (s *Store) listing(ctx context.Context, what, sql string, args ...any) (Listing, error) {
	var l Listing
	var agentID *int64
	var agent struct{ name, phone, email *string }
	err := s.pool.QueryRow(ctx, sql, args...).Scan(&l.ID, &l.Title, &l.Description, &l.Price, &l.City, &l.PropertyType,
		&l.Bedrooms, &l.Status, &l.CreatedAt, &l.UpdatedAt, &l.AgentID, &agentID, &agent.name, &agent.phone, &agent.email)
	if err != nil {
		return Listing{}, explain(what, err)
	}
	if agentID != nil {
		l.Agent = &Agent{ID: *agentID, Name: *agent.name, Phone: agent.phone, Email: agent.email}
	}
	l.CreatedAt, l.UpdatedAt = l.CreatedAt.UTC(), l.UpdatedAt.UTC()
	return l, nil
}

// explain turns the database's words for the two expected failures into ours.
func explain(what string, err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNotFound
	case errors.As(err, &pg) && pg.Code == "23503": // foreign_key_violation
		return ErrNoAgent
	}
	return fmt.Errorf("%s: %w", what, err)
}
