package run

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

// Pages fit together: reading from page to page gives what was written, each stream in its order, however it was cut.
func FuzzTranscriptPages(f *testing.F) {
	f.Add(uint64(1), 1000, 50)
	f.Add(uint64(2), 40000, 7)
	f.Add(uint64(3), 100, 100000)
	f.Fuzz(func(t *testing.T, seed uint64, total, page int) {
		total, page = 1+abs(total)%100_000, 8+abs(page)%50_000
		r := rand.New(rand.NewPCG(seed, 1))
		tr := &transcript{limit: 1 << 30}
		var want, got [2][]byte
		var at int64
		read := func(more bool) {
			p := tr.from(at, page, more)
			if p.next < at || p.cut {
				t.Fatalf("from %d: next %d, cut %v", at, p.next, p.cut)
			}
			at = p.next
			for i := range got {
				got[i] = append(got[i], p.text[i]...)
			}
		}
		for n := 0; n < total; {
			b := []byte(strings.Repeat("aé漢🙂\r\n", 1+r.IntN(200)))
			b = b[:min(len(b), 1+r.IntN(len(b)))]
			of := stream(r.IntN(2))
			tr.write(of, b)
			want[of] = append(want[of], b...)
			n += len(b)
			read(true)
		}
		for end := tr.total[0] + tr.total[1]; at < end; {
			read(false)
		}
		for i := range want {
			if !bytes.Equal(want[i], got[i]) {
				t.Fatalf("stream %d: %d bytes written, %d read", i, len(want[i]), len(got[i]))
			}
		}
	})
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}

// A noisy stream does not push out the other, and the limit holds.
func TestTranscriptKeepsBothTails(t *testing.T) {
	tr := &transcript{limit: 1000}
	tr.write(stderr, []byte("the one error"))
	for range 1000 {
		tr.write(stdout, bytes.Repeat([]byte("x"), 77))
	}
	tr.write(stdout, []byte("end"))
	p := tr.all()
	if string(p.text[stderr]) != "the one error" || len(p.text[stdout]) != 1000 || !bytes.HasSuffix(p.text[stdout], []byte("xend")) || !p.cut {
		t.Errorf("%q, %d bytes, cut %v", p.text[stderr], len(p.text[stdout]), p.cut)
	}
	if n := len(tr.chunks[stdout]) + len(tr.chunks[stderr]); n > 20 {
		t.Errorf("%d chunks", n)
	}
}

// What is forgotten is free again: memory is bounded by the limit, not by what was written, whatever the pieces and whichever stream is older.
func TestTranscriptIsBounded(t *testing.T) {
	const limit = 64 << 10
	for name, write := range map[string]func(*transcript){
		"one old line, then much": func(tr *transcript) {
			tr.write(stderr, []byte("x"))
			for range 2000 {
				tr.write(stdout, make([]byte, 16<<10))
			}
		},
		"single bytes in turn": func(tr *transcript) {
			for range limit {
				tr.write(stdout, []byte("y"))
				tr.write(stderr, []byte("z"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			tr := &transcript{limit: limit}
			before := heap()
			write(tr)
			grown := int64(heap()) - int64(before)
			if p := tr.all(); len(p.text[stdout]) == 0 || len(p.text[stderr]) == 0 || !p.cut || p.next != tr.total[0]+tr.total[1] {
				t.Errorf("%d and %d bytes, next %d, cut %v", len(p.text[stdout]), len(p.text[stderr]), p.next, p.cut)
			}
			if grown > 8*limit {
				t.Errorf("%d bytes are held for a limit of %d", grown, limit)
			}
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestPagesEndBetweenCharacters(t *testing.T) {
	tr := &transcript{limit: 1000}
	tr.write(stdout, []byte("ab\xf0\x9f"))
	if p := tr.from(0, 100, true); string(p.text[stdout]) != "ab" || p.next != 2 {
		t.Errorf("%q %d", p.text[stdout], p.next)
	}
	tr.write(stdout, []byte("\x99\x82"))
	if p := tr.from(2, 100, true); !utf8.Valid(p.text[stdout]) || p.next != 6 {
		t.Errorf("%q %d", p.text[stdout], p.next)
	}
	if p := tr.from(999, 100, false); p.next != 6 || len(p.text[stdout]) != 0 {
		t.Errorf("beyond the end: %+v", p)
	}
}
