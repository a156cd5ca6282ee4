package proxycache

import (
	"bytes"
	"sync"

	br "github.com/andybalholm/brotli"
	gz "github.com/klauspost/compress/gzip"
	zs "github.com/klauspost/compress/zstd"

	"walpurge/internal/proxycache/http1"
)

// The content codings that responses are sent in, worst first: where a client
// takes several alike it gets the last.
const (
	identity = iota
	inGzip
	inZstd
	inBrotli
	codingCount
)

var codingNames = [codingCount]string{"identity", "gzip", "zstd", "br"}

// preferred is the coding that a client likes best (RFC 9110 section 12.5.3).
// It allocates nothing.
func preferred(req *http1.Request) int {
	if !req.Has(http1.Of(http1.AcceptEncoding)) {
		return identity
	}
	var weights [codingCount]int
	var named [codingCount]bool
	star := -1
	for i := range req.Fields {
		if req.Fields[i].ID != http1.AcceptEncoding {
			continue
		}
		for rest := req.Fields[i].Value; len(rest) > 0; {
			item := rest
			if at := bytes.IndexByte(rest, ','); at >= 0 {
				item, rest = rest[:at], rest[at+1:]
			} else {
				rest = nil
			}
			name, params, _ := bytes.Cut(item, []byte{';'})
			name = bytes.Trim(name, " \t")
			q, ok := quality(params)
			if !ok {
				continue
			}
			if string(name) == "*" {
				star = q
				continue
			}
			if c := codingOf(name); c >= 0 {
				weights[c], named[c] = max(weights[c], q), true
			}
		}
	}
	best := identity
	for c := range codingCount {
		if !named[c] && star >= 0 {
			weights[c] = star
		}
		if weights[c] > 0 && weights[c] >= weights[best] {
			best = c
		}
	}
	return best
}

func codingOf(name []byte) int {
	switch {
	case http1.EqualFold(name, "gzip"), http1.EqualFold(name, "x-gzip"):
		return inGzip
	case http1.EqualFold(name, "br"):
		return inBrotli
	case http1.EqualFold(name, "zstd"):
		return inZstd
	case http1.EqualFold(name, "identity"):
		return identity
	}
	return -1
}

// Levels: what is stored once and sent often is worth some work, but a request
// waits for it.
const (
	gzipLevel   = 6
	brotliLevel = 5
)

var (
	gzipWriters   = sync.Pool{New: func() any { w, _ := gz.NewWriterLevel(nil, gzipLevel); return w }}
	brotliWriters = sync.Pool{New: func() any { return br.NewWriterLevel(nil, brotliLevel) }}
	zstdEncoder   = sync.OnceValue(func() *zs.Encoder {
		w, err := zs.NewWriter(nil, zs.WithEncoderConcurrency(1), zs.WithLowerEncoderMem(true), zs.WithWindowSize(8<<20))
		if err != nil {
			panic(err) // the options are constants
		}
		return w
	})
)

// encode codes a body.
func encode(c int, body []byte) []byte {
	var out bytes.Buffer
	switch c {
	case inZstd:
		return zstdEncoder().EncodeAll(body, nil)
	case inGzip:
		w := gzipWriters.Get().(*gz.Writer) //nolint:forcetypeassert // its New makes nothing else
		w.Reset(&out)
		_, _ = w.Write(body) // a buffer takes everything
		_ = w.Close()
		gzipWriters.Put(w)
	case inBrotli:
		w := brotliWriters.Get().(*br.Writer) //nolint:forcetypeassert // its New makes nothing else
		w.Reset(&out)
		_, _ = w.Write(body)
		_ = w.Close()
		brotliWriters.Put(w)
	default:
		return body
	}
	return out.Bytes()
}
