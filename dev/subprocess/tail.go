package subprocess

import (
	"io"
	"os"
	"strings"
)

// tailBytes bounds Tail.
const tailBytes = 4096

// Tail is what stands in the file path from offset on, at most the last 4 KiB,
// which then begin at a line.
func Tail(path string, offset int64) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err.Error()
	}
	from := max(offset, info.Size()-tailBytes)
	data, err := io.ReadAll(io.NewSectionReader(file, from, info.Size()-from))
	if err != nil {
		return err.Error()
	}
	text := string(data)
	if _, rest, cut := strings.Cut(text, "\n"); cut && from > offset {
		text = rest
	}
	return strings.TrimSpace(text)
}
