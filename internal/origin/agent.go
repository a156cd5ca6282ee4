package origin

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"time"

	"github.com/jackc/pgx/v5"
)

// Agent is the person who sells.
type Agent struct {
	ID    int64   `json:"id"`
	Name  string  `json:"name"`
	Phone *string `json:"phone"`
	Email *string `json:"email"`
}

// Bounds of what a client may write of an agent, in characters. The longest
// address that mail can be sent to has 254 (RFC 3696, erratum 1690).
const (
	maxName  = 100
	maxPhone = 40
	maxEmail = 254
)

func agentRecord() record {
	return record{noun: "an agent", readOnly: []string{"id"}, fields: []field{
		{name: "name", required: true, parse: text(maxName)},
		{name: "phone", nullable: true, parse: text(maxPhone)},
		{name: "email", nullable: true, parse: parseEmail},
	}}
}

// parseEmail takes an address alone, without a name beside it.
func parseEmail(s string) (any, error) {
	v, err := text(maxEmail)(s)
	if err != nil {
		return nil, err
	}
	at, err := mail.ParseAddress(s)
	if err != nil || at.Name != "" || at.Address != v {
		return nil, errors.New("must be an address such as name@example.org")
	}
	return v, nil
}

// The statements about one agent. A page of an agent's listings comes with the agent by one statement:
// the lateral part walks listings_agent_newest and stops after the page.
const (
	agentFields   = "id, name, phone, email"
	agentByID     = "select " + agentFields + " from public.agents where id = $1"
	agentListings = "select a.id, a.name, a.phone, a.email, " +
		"l.id, l.title, l.price, l.city, l.property_type, l.bedrooms, l.status, l.created_at from public.agents a left join lateral (" +
		"select * from public.listings where agent_id = a.id order by created_at desc, id desc limit $2 offset $3" +
		") l on true where a.id = $1 order by l.created_at desc, l.id desc"
)

// Agent returns one agent or ErrNotFound.
func (s *Store) Agent(ctx context.Context, id int64) (Agent, error) {
	return s.agent(ctx, "read agent", agentByID, id)
}

// UpdateAgent changes an agent. An empty edit changes nothing. ErrNotFound without the agent.
func (s *Store) UpdateAgent(ctx context.Context, id int64, edit Edit) (Agent, error) {
	if len(edit) == 0 {
		return s.Agent(ctx, id)
	}
	set, args := edit.assignments(id)
	return s.agent(ctx, "update agent", "update public.agents set "+set+" where id = $1 returning "+agentFields, args...)
}

func (s *Store) agent(ctx context.Context, what, sql string, args ...any) (Agent, error) {
	var a Agent
	err := s.pool.QueryRow(ctx, sql, args...).Scan(&a.ID, &a.Name, &a.Phone, &a.Email)
	return a, explain(what, err)
}

// AgentListings returns an agent with a page of the agent's listings, the newest first, or ErrNotFound.
func (s *Store) AgentListings(ctx context.Context, id int64, page int) (Agent, Page, error) {
	p := Page{Page: page, PageSize: DefaultPageSize, Items: []Item{}}
	var a Agent
	found := false
	rows, err := s.pool.Query(ctx, agentListings, id, p.PageSize+1, (page-1)*p.PageSize)
	if err == nil {
		var row struct {
			id                        *int64
			title, city, kind, status *string
			price                     *Price
			bedrooms                  *int32
			created                   *time.Time
		}
		_, err = pgx.ForEachRow(rows, []any{
			&a.ID, &a.Name, &a.Phone, &a.Email,
			&row.id, &row.title, &row.price, &row.city, &row.kind, &row.bedrooms, &row.status, &row.created,
		}, func() error {
			found = true
			if row.id != nil { // nil: an agent without listings on this page
				p.Items = append(p.Items, Item{
					ID: *row.id, Title: *row.title, Price: *row.price, City: *row.city, PropertyType: *row.kind,
					Bedrooms: row.bedrooms, Status: *row.status, CreatedAt: row.created.UTC(),
				})
			}
			return nil
		})
	}
	switch {
	case err != nil:
		return Agent{}, Page{}, fmt.Errorf("list an agent's listings: %w", err)
	case !found:
		return Agent{}, Page{}, ErrNotFound
	}
	if len(p.Items) > p.PageSize {
		p.Items, p.HasMore = p.Items[:p.PageSize], true
	}
	return a, p, nil
}
