package redact

import (
	"io"
	"strings"
	"testing"
)

// BenchmarkForeign measures the stream for foreign secrets against memcpy and against the redactor that stands before it, all in one run: the goal is at least
// the redactor's own speed, so that both together are not slower than half of it.
func BenchmarkForeign(b *testing.B) {
	text := logText()
	dst := make([]byte, len(text))
	m := mustSet(b, Options{}, benchValues(100)...).Compile()
	var copies, own, streams, both times
	feed := func(w io.WriteCloser) {
		for i := 0; i < len(text); i += 64 << 10 {
			_, _ = w.Write(text[i : i+64<<10])
		}
		_ = w.Close()
	}
	for b.Loop() {
		copies.of(func() { copy(dst, text) })
		own.of(func() { feed(m.Stream(io.Discard)) })
		streams.of(func() { feed(Foreign(io.Discard, ForeignOptions{})) })
		both.of(func() {
			f := Foreign(io.Discard, ForeignOptions{})
			feed(m.Stream(f))
			_ = f.Close()
		})
	}
	b.ReportMetric(100*copies.median()/streams.median(), "%memcpy")
	b.ReportMetric(100*own.median()/streams.median(), "%redactor")
	b.ReportMetric(100*own.median()/both.median(), "%both")
	b.ReportMetric(float64(len(text))/streams.median()/1e6, "foreign-MB/s")
}

// BenchmarkForeignWorst reads what makes the rules work hardest.
func BenchmarkForeignWorst(b *testing.B) {
	for name, piece := range map[string]string{
		"urls": "https://example.org/a ", "base64": of(b64s, 76) + "\n", "prefixes": "ghp_ sk-a eyJx :AAb xoxb- ", "source": "token := strings.TrimPrefix(header, \"Bearer \") // authorization\n", "open": "PASSWORD=a",
	} {
		b.Run(name, func(b *testing.B) {
			text := []byte(strings.Repeat(piece, 1<<20/len(piece)))
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				s := Foreign(io.Discard, ForeignOptions{})
				_, _ = s.Write(text)
				_ = s.Close()
			}
		})
	}
}
