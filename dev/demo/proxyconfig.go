package main

import (
	_ "embed"
	"fmt"
	"os"
	"strings"
	"text/template"
	"time"
)

// maxLag is the proxy's max_lag in the demo, and so what the auditor allows.
const maxLag = time.Second

//go:embed demo.yaml
var proxyTemplate string

// endpoints is where everything listens.
type endpoints struct {
	Listen   string // the proxy, host:port
	Admin    string // its admin port, host:port
	Origin   string // the listings service's URL
	Postgres string // the database's URL
	Redis    string // the server's URL
}

// site is the proxy's URL, without a slash at its end.
func (e endpoints) site() string { return "http://" + e.Listen }

// admin is the admin port's URL, without a slash at its end.
func (e endpoints) admin() string { return "http://" + e.Admin }

// proxyConfig is the proxy's configuration file for these endpoints.
func (e endpoints) proxyConfig() (string, error) {
	t, err := template.New("demo.yaml").Parse(proxyTemplate)
	if err != nil {
		return "", fmt.Errorf("write the proxy's configuration: %w", err)
	}
	var text strings.Builder
	err = t.Execute(&text, struct {
		endpoints
		MaxLag time.Duration
	}{e, maxLag})
	if err != nil {
		return "", fmt.Errorf("write the proxy's configuration: %w", err)
	}
	return text.String(), nil
}

func (e endpoints) writeProxyConfig(path string) error {
	text, err := e.proxyConfig()
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
