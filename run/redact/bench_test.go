package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The benchmarks of one run, comparable with each other:
//
//	go test ./run/redact -run '^$' -bench . -benchtime 5x -count 5
//
// Goals: at least 15 % of memcpy at 1 secret, 5 % at 10,000; at least half of a pipe at 10 and at 1,000.
const logBytes = 64 << 20

var counts = []int{1, 100, 10_000}

var logText = sync.OnceValue(func() []byte { return makeLog(logBytes) })

// makeLog writes n bytes of what services log: sentences, JSON, commits.
func makeLog(n int) []byte {
	r := rand.New(rand.NewPCG(1, 1))
	var b bytes.Buffer
	b.Grow(n + 4096)
	words := strings.Fields("GET POST request handled user session upstream timeout retry connection accepted closed cache miss hit worker queue drained started ready INFO WARN ERROR level=debug msg= starting container pulling image layer already exists")
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "2026-11-23T20:%02d:%02d.%06dZ ", i/60%60, i%60, r.IntN(1e6))
		switch r.IntN(5) {
		case 0:
			fmt.Fprintf(&b, `{"level":"info","trace":"%016x","path":"/api/v1/items/%d?page=%d","ms":%d,"ip":"10.%d.%d.7"}`, r.Uint64(), r.IntN(1e5), r.IntN(50), r.IntN(900), r.IntN(255), r.IntN(255))
		case 1:
			fmt.Fprintf(&b, "commit %016x%016x%08x pushed by deploy@example.net", r.Uint64(), r.Uint64(), r.Uint32())
		default:
			for range 5 + r.IntN(12) {
				b.WriteString(words[r.IntN(len(words))] + " ")
			}
			fmt.Fprintf(&b, "id=%d", r.IntN(1e9))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()[:n]
}

// benchValues are tokens of 32 to 48 characters, as providers give them.
func benchValues(n int) []string {
	r := rand.New(rand.NewPCG(2, 2))
	const chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	vals := make([]string, n)
	for i := range vals {
		b := make([]byte, 32+r.IntN(17))
		for k := range b {
			b[k] = chars[r.IntN(len(chars))]
		}
		vals[i] = string(b)
	}
	return vals
}

// fewVariants are the eleven commonest forms, for the tools that we compare with.
func fewVariants(v string) []string {
	out := []string{v, hex.EncodeToString([]byte(v)), strings.ToUpper(hex.EncodeToString([]byte(v))), url.QueryEscape(v)}
	for k := range 3 {
		in := append(make([]byte, k), v...)
		e := base64.RawStdEncoding.EncodeToString(in)
		out = append(out, e[4:len(e)-1])
		e = base64.RawURLEncoding.EncodeToString(in)
		out = append(out, e[4:len(e)-1])
	}
	return out
}

func BenchmarkMemcpy(b *testing.B) {
	text := logText()
	dst := make([]byte, len(text))
	copy(dst, text) // the pages exist
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		copy(dst, text)
	}
}

func BenchmarkStream(b *testing.B) {
	for _, n := range counts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			benchStream(b, mustSet(b, Options{}, benchValues(n)...).Compile())
		})
	}
}

// BenchmarkOfMemcpy measures both in turn and gives the ratio of the median processor times, which other work on the machine disturbs least.
func BenchmarkOfMemcpy(b *testing.B) {
	text := logText()
	dst := make([]byte, len(text))
	for _, n := range counts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := mustSet(b, Options{}, benchValues(n)...).Compile()
			var copies, streams times
			for b.Loop() {
				copies.of(func() { copy(dst, text) })
				streams.of(func() {
					s := m.Stream(io.Discard)
					for i := 0; i < len(text); i += 64 << 10 {
						_, _ = s.Write(text[i : i+64<<10])
					}
					_ = s.Close()
				})
			}
			b.ReportMetric(100*copies.median()/streams.median(), "%memcpy")
			b.ReportMetric(float64(len(text))/1e6/copies.median(), "memcpy-MB/s")
			b.ReportMetric(float64(len(text))/1e6/streams.median(), "redact-MB/s")
		})
	}
}

type times []float64

func (t *times) of(f func()) {
	start := cpuTime()
	f()
	*t = append(*t, (cpuTime() - start).Seconds())
}

func (t times) median() float64 {
	slices.Sort(t)
	return t[len(t)/2]
}

// BenchmarkStreamShort has one password of 8 characters among the values: the widest stride is then small.
func BenchmarkStreamShort(b *testing.B) {
	for _, n := range counts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			benchStream(b, mustSet(b, Options{}, append(benchValues(n-1), "pa55-Wrd")...).Compile())
		})
	}
}

func benchStream(b *testing.B, m *Matcher) {
	text := logText()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s := m.Stream(io.Discard)
		for i := 0; i < len(text); i += 32 << 10 {
			if _, err := s.Write(text[i:min(i+32<<10, len(text))]); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(m.Patterns()), "patterns")
}

func BenchmarkReplacer(b *testing.B) {
	text := string(logText()[:logBytes/8])
	for _, n := range counts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var pairs []string
			for _, v := range benchValues(n) {
				for _, e := range fewVariants(v) {
					pairs = append(pairs, e, "[redacted]")
				}
			}
			r := strings.NewReplacer(pairs...)
			_ = r.Replace("x") // builds
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				_, _ = r.WriteString(io.Discard, text)
			}
		})
	}
}

func BenchmarkGrepF(b *testing.B) {
	grep, err := exec.LookPath("grep")
	if err != nil {
		b.Log("no grep on this machine: nothing to compare with")
		return
	}
	for _, n := range counts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			text := logText()
			if n > 1 {
				text = text[:logBytes/8]
			}
			file, pats := filepath.Join(b.TempDir(), "log"), filepath.Join(b.TempDir(), "patterns")
			var p strings.Builder
			for _, v := range benchValues(n) {
				p.WriteString(strings.Join(fewVariants(v), "\n") + "\n")
			}
			if os.WriteFile(file, text, 0o600) != nil || os.WriteFile(pats, []byte(p.String()), 0o600) != nil {
				b.Fatal("cannot write")
			}
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				cmd := exec.Command(grep, "-c", "-F", "-f", pats, file)
				cmd.Env = []string{"LC_ALL=C"}
				_ = cmd.Run() // 1: no match
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range counts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			set := mustSet(b, Options{}, benchValues(n)...)
			var m *Matcher
			for b.Loop() {
				set.built = nil
				m = set.Compile()
			}
			b.ReportMetric(float64(m.Patterns()), "patterns")
			b.ReportMetric(float64(m.MemoryBytes())/(1<<20), "MiB")
		})
	}
}

// BenchmarkPipe is goal 8: a child writes into a pipe, we copy from it into another, as cat does or through the redactor, and someone reads.
// The two are measured in turn; %pipe is the ratio of the best times, %pipe-cpu of the median processor times.
func BenchmarkPipe(b *testing.B) {
	text := logText()
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := mustSet(b, Options{}, benchValues(n)...).Compile()
			floor, redacted := time.Hour, time.Hour
			var floorCPU, redactedCPU times
			for b.Loop() {
				floorCPU.of(func() { floor = min(floor, throughPipes(b, text, nil)) })
				redactedCPU.of(func() { redacted = min(redacted, throughPipes(b, text, m)) })
			}
			b.ReportMetric(100*floor.Seconds()/redacted.Seconds(), "%pipe")
			b.ReportMetric(100*floorCPU.median()/redactedCPU.median(), "%pipe-cpu")
			b.ReportMetric(float64(len(text))/1e6/floor.Seconds(), "floor-MB/s")
			b.ReportMetric(float64(len(text))/1e6/redacted.Seconds(), "redact-MB/s")
		})
	}
}

func throughPipes(b *testing.B, text []byte, m *Matcher) time.Duration {
	r1, w1, err1 := os.Pipe()
	r2, w2, err2 := os.Pipe()
	if err1 != nil || err2 != nil {
		b.Fatal(err1, err2)
	}
	start := time.Now()
	var work sync.WaitGroup
	work.Go(func() {
		_, _ = w1.Write(text)
		w1.Close()
	})
	work.Go(func() {
		n, _ := io.CopyBuffer(discard{}, reader{r2}, make([]byte, 64<<10))
		if n != int64(len(text)) {
			b.Errorf("%d bytes came through", n)
		}
	})
	var dst io.WriteCloser = nopCloser{w2}
	if m != nil {
		dst = m.Stream(w2)
	}
	if _, err := io.CopyBuffer(writer{dst}, reader{r1}, make([]byte, 64<<10)); err != nil {
		b.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		b.Fatal(err)
	}
	w2.Close()
	work.Wait()
	r1.Close()
	r2.Close()
	return time.Since(start)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

type writer struct{ io.Writer }

// discard and reader hide the shortcuts of io.Copy.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

type reader struct{ io.Reader }

// BenchmarkDetector is the alarm's cost for a captured output.
func BenchmarkDetector(b *testing.B) {
	text := makeLog(64 << 10)
	d := mustSet(b, Options{}, benchValues(100)...).Detector()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		d.Alarm(text)
	}
}
