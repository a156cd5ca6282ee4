package http1

import "testing"

func TestHeadIsFoundInPieces(t *testing.T) {
	const head = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest"
	var scan headScan
	from := 0
	for to := 1; to <= len(head); to++ {
		n, skip, err := scan.find([]byte(head[from:to]))
		if err != nil {
			t.Fatal(err)
		}
		from += skip
		if n > 0 {
			if got := head[from : from+n]; got != head[2:len(head)-4] {
				t.Fatalf("%q", got)
			}
			return
		}
	}
	t.Fatal("not found")
}
