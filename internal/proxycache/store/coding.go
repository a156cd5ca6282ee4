package store

import (
	"bytes"
	"sync"

	br "github.com/andybalholm/brotli"
	gz "github.com/klauspost/compress/gzip"
	zs "github.com/klauspost/compress/zstd"

	"walpurge/internal/rfc9111"
)

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

// Encode codes a body.
func Encode(c int, body []byte) []byte {
	var out bytes.Buffer
	switch c {
	case rfc9111.InZstd:
		return zstdEncoder().EncodeAll(body, nil)
	case rfc9111.InGzip:
		w := gzipWriters.Get().(*gz.Writer) //nolint:forcetypeassert // its New makes nothing else
		w.Reset(&out)
		_, _ = w.Write(body) // a buffer takes everything
		_ = w.Close()
		gzipWriters.Put(w)
	case rfc9111.InBrotli:
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
