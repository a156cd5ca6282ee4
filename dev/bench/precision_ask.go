package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"
)

// askers is how many pages are asked for at a time.
const askers = 8

// shownPage is what a client sees of a response.
type shownPage struct {
	status int
	kind   string // its media type
	body   []byte
}

func (p shownPage) same(q shownPage) bool {
	return p.status == q.status && p.kind == q.kind && bytes.Equal(p.body, q.body)
}

// ask asks a server for all pages.
func (p *precision) ask(ctx context.Context, address string) ([]shownPage, error) {
	all := make([]shownPage, len(p.pages))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askers)
	for i, page := range p.pages {
		group.Go(func() (err error) {
			all[i], _, err = p.get(ctx, address, page)
			return err
		})
	}
	return all, group.Wait()
}

func (p *precision) get(ctx context.Context, address, target string) (page shownPage, cacheStatus string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+target, nil)
	if err != nil {
		return page, "", err
	}
	request.Host = host // a response belongs to it
	response, err := p.client.Do(request)
	if err != nil {
		return page, "", err
	}
	defer func() { _ = response.Body.Close() }()
	if page.body, err = io.ReadAll(response.Body); err != nil {
		return page, "", fmt.Errorf("read %s: %w", target, err)
	}
	page.status, page.kind, cacheStatus = response.StatusCode, response.Header.Get("Content-Type"), response.Header.Get("Cache-Status")
	if page.status != http.StatusOK && page.status != http.StatusNotFound {
		return page, "", fmt.Errorf("%s: status %d: %.200s", target, page.status, page.body)
	}
	if strings.Contains(cacheStatus, "detail=unproven") {
		return page, "", fmt.Errorf("%s: no proof of freshness for %s", target, precisionLag)
	}
	return page, cacheStatus, nil
}

// listingsIn are the ids of the listings that a page in JSON shows.
func listingsIn(target string, body []byte) (ids []int64) {
	if !strings.HasPrefix(target, "/api/listings") {
		return nil
	}
	var page struct {
		ID    int64
		Items []struct{ ID int64 }
	}
	if json.Unmarshal(body, &page) != nil {
		return nil
	}
	if page.ID != 0 {
		ids = append(ids, page.ID)
	}
	for _, item := range page.Items {
		ids = append(ids, item.ID)
	}
	return ids
}
