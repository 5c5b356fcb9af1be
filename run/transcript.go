package run

import (
	"sync"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/run/redact"
)

// stream tells the two outputs of a command apart.
type stream int

const (
	stdout stream = iota
	stderr
)

// chunkLen is how large a piece of one stream grows before the next begins, in bytes.
const chunkLen = 8 << 10

// pageLen is how much Get gives at once, in bytes. What is shown of a byte that is not text is longer, so this is below the reply's bound.
const pageLen = 32 << 10

// chunkRoom is how many bytes of the limit one chunk stands for at least: without it a command that writes single bytes to both streams in turn would
// make us keep a hundred times what it wrote.
const chunkRoom = 32

// transcript keeps what a run has written, redacted, in the order in which it came: of each stream the last bytes, up to a limit of its own, so
// that a noisy one does not push out the other. Offsets count the bytes of both.
type transcript struct {
	mu     sync.Mutex
	limit  int // bytes a stream
	chunks [2][]chunk
	kept   [2]int
	total  [2]int64
	lost   int64 // offset up to which something is gone
}

type chunk struct {
	at   int64
	data []byte
}

func (c chunk) end() int64 { return c.at + int64(len(c.data)) }

func (t *transcript) write(of stream, p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(p) > 0 {
		n := min(len(p), chunkLen)
		at := t.total[0] + t.total[1]
		own := t.chunks[of]
		if last := len(own) - 1; last >= 0 && own[last].end() == at && len(own[last].data) < chunkLen {
			n = min(n, chunkLen-len(own[last].data))
			own[last].data = append(own[last].data, p[:n]...)
		} else {
			t.chunks[of] = append(own, chunk{at, append(make([]byte, 0, min(chunkLen, 2*n)), p[:n]...)})
		}
		t.kept[of] += n
		t.total[of] += int64(n)
		p = p[n:]
		t.drop(of)
	}
}

// drop forgets the oldest bytes of a stream beyond its limit.
func (t *transcript) drop(of stream) {
	own := t.chunks[of]
	for len(own) > 0 {
		n := min(t.kept[of]-t.limit, len(own[0].data))
		if len(own) > t.limit/chunkRoom+1 {
			n = len(own[0].data)
		}
		if n <= 0 {
			break
		}
		c := &own[0]
		clear(c.data[:n])
		c.data, c.at = c.data[n:], c.at+int64(n)
		t.kept[of] -= n
		t.lost = max(t.lost, c.at)
		if len(c.data) == 0 {
			*c, own = chunk{}, own[1:] // an empty slice would still hold all of its array
		}
	}
	t.chunks[of] = own
}

// page is a part of a transcript.
type page struct {
	text [2][]byte // as written: not yet made harmless
	next int64
	cut  bool // something between the offset asked for and the page is gone
}

// from gives what was written from an offset on, at most max bytes. While the run lives (more), a page does not end inside a character.
func (t *transcript) from(offset int64, max int, more bool) page {
	t.mu.Lock()
	defer t.mu.Unlock()
	end := t.total[0] + t.total[1]
	offset = min(offset, end)
	p := page{next: offset, cut: offset < t.lost}
	for left := t.chunks; len(left[stdout])+len(left[stderr]) > 0; {
		of := earlier(left)
		c := left[of][0]
		left[of] = left[of][1:]
		stop := c.end()
		if stop <= offset {
			continue
		}
		data := c.data[max64(0, offset-c.at):]
		full := len(data) > max
		if full {
			data = data[:max]
		}
		if full || more && stop == end {
			data = data[:whole(data)]
		}
		p.text[of] = append(p.text[of], data...)
		p.next = max64(p.next, max64(offset, c.at)+int64(len(data)))
		if max -= len(data); full || max <= 0 {
			break
		}
	}
	return p
}

// earlier tells which stream's first chunk came first; not both are empty.
func earlier(left [2][]chunk) stream {
	switch {
	case len(left[stdout]) == 0:
		return stderr
	case len(left[stderr]) == 0 || left[stdout][0].at < left[stderr][0].at:
		return stdout
	}
	return stderr
}

func max64(a, b int64) int64 { return max(a, b) }

// whole gives the length of b without a character, or a CR of CR LF, that is not complete. It never gives 0 for what is long enough.
func whole(b []byte) int {
	n := len(b)
	for back := 1; back <= utf8.UTFMax && back <= n; back++ {
		if utf8.RuneStart(b[n-back]) {
			if !utf8.FullRune(b[n-back:]) {
				n -= back
			}
			break
		}
	}
	if n > 1 && b[n-1] == '\r' {
		n--
	}
	if n == 0 && len(b) >= utf8.UTFMax {
		return len(b)
	}
	return n
}

// all gives what is kept of each stream.
func (t *transcript) all() page {
	p := t.from(0, 1<<62, false)
	p.cut = t.lostAny()
	return p
}

func (t *transcript) lostAny() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lost > 0
}

func (t *transcript) totals() (int64, int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total[0], t.total[1]
}

// wipe forgets everything.
func (t *transcript) wipe() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, own := range t.chunks {
		for _, c := range own {
			clear(c.data)
		}
	}
	t.chunks, t.kept = [2][]chunk{}, [2]int{}
}

// shown makes redacted bytes harmless to read and bounds what became of them.
func shown(b []byte, limit int) (string, bool) {
	tail := redact.NewTail(limit)
	_, _ = tail.Write(redact.Clean(b))
	return string(tail.Bytes()), tail.Truncated()
}
