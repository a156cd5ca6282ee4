package rfc9111

import (
	"net/http"
	"testing"
)

func BenchmarkPreferredCoding(b *testing.B) {
	req := request(b, "Accept-Encoding: gzip, deflate, br, zstd")
	b.ReportAllocs()
	for b.Loop() {
		PreferredCoding(req)
	}
}

func BenchmarkAcceptEncoding(b *testing.B) {
	req := request(b, "Accept-Encoding: gzip, deflate, br, zstd")
	b.ReportAllocs()
	for b.Loop() {
		_ = AcceptEncoding(req).String()
	}
}

func BenchmarkPolicy(b *testing.B) {
	for name, h := range map[string]http.Header{
		"plain":    {"Cache-Control": {"public, max-age=60, s-maxage=600, stale-while-revalidate=30, must-revalidate"}},
		"targeted": {"Cdn-Cache-Control": {"max-age=60, stale-if-error=30, must-revalidate"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				policyOf(h)
			}
		})
	}
}
