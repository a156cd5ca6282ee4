// Package site uses the listings service's pages and the dashboard through the proxy as people do: in a browser.
package site
