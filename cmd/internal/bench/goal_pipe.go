package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/secret"
)

const (
	logMiB   = 64 // of text made; a pipe carries it pipeTurn times
	pipeTurn = 4
)

// redactPipe is goal 8: what a command writes passes `zavhoz run` and its redactor, beside the same bytes passing cat; and the redactor alone beside
// a copy in memory.
func redactPipe(ctx context.Context, b *bench) ([]Row, error) {
	cat, err := exec.LookPath("cat")
	if err != nil {
		return nil, err
	}
	text := logText(logMiB << 20)
	file := filepath.Join(b.dir, "log")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	files := make([]string, pipeTurn)
	for i := range files {
		files[i] = file
	}
	each := []func() (float64, error){func() (float64, error) { return catPipe(ctx, cat, files) }}
	counts := []int{10, 1000}
	for _, n := range counts {
		p, args, err := b.withSecrets(ctx, n)
		if err != nil {
			return nil, err
		}
		defer p.close()
		argv := append(append(args, cat), files...)
		each = append(each, func() (float64, error) {
			c := exec.CommandContext(ctx, b.bin, argv...)
			c.Env = p.env()
			return throughput(c)
		})
	}
	got, err := turns(b.rounds(11), each...)
	if err != nil {
		return nil, err
	}
	var rows []Row
	for i, n := range counts {
		r := Row{What: fmt.Sprintf("output through `zavhoz run … --open`, %d secrets, beside cat", n), Floor: got[0], Ours: got[1+i], Unit: "MiB/s"}
		rows = append(rows, r.share(50))
	}
	alone, err := redactAlone(b, text)
	return append(rows, alone...), err
}

// catPipe is the floor: one cat writes into a pipe, another reads it.
func catPipe(ctx context.Context, cat string, files []string) (float64, error) {
	from, to := exec.CommandContext(ctx, cat, files...), exec.CommandContext(ctx, cat)
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	from.Stdout, to.Stdin = w, r
	err = from.Start()
	w.Close()
	if err != nil {
		r.Close()
		return 0, err
	}
	rate, err := throughput(to)
	r.Close()
	return rate, errors.Join(err, from.Wait())
}

// throughput gives the MiB/s at which a program that passes all of the text on ends. Its output goes where nothing is read.
func throughput(c *exec.Cmd) (float64, error) {
	var stderr strings.Builder
	c.Stderr = &stderr
	start := time.Now()
	if err := c.Run(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, stderr.String())
	}
	return logMiB * pipeTurn / time.Since(start).Seconds(), nil
}

// redactAlone compares the redactor with a copy in memory, in this process.
func redactAlone(b *bench, text []byte) (rows []Row, err error) {
	dst := make([]byte, len(text))
	for _, n := range []int{1, 100, 10_000} {
		set := redact.NewSet(redact.Options{})
		for i := range n {
			if err := set.Add(fmt.Sprintf("bench.%d", i), secret.FromString(newSecret())); err != nil {
				return nil, err
			}
		}
		start := time.Now()
		m := set.Compile()
		compiled := time.Since(start)
		got, err := turns(b.rounds(7),
			func() (float64, error) { return rateOf(text, func() error { copy(dst, text); return nil }) },
			func() (float64, error) { return rateOf(text, func() error { return stream(m, text) }) })
		set.Wipe()
		if err != nil {
			return nil, err
		}
		r := Row{What: fmt.Sprintf("the redactor alone, %d secrets (compiled in %s ms), beside memcpy", n, number(compiled.Seconds()*1e3)), Floor: got[0], Ours: got[1], Unit: "MiB/s of processor time"}
		if n == 100 {
			rows = append(rows, r.ratio(100, "%"))
			continue
		}
		rows = append(rows, r.share(map[int]float64{1: 15, 10_000: 5}[n]))
	}
	return rows, nil
}

func stream(m *redact.Matcher, text []byte) error {
	s := m.Stream(io.Discard)
	for at := 0; at < len(text); at += 64 << 10 {
		if _, err := s.Write(text[at:min(at+64<<10, len(text))]); err != nil {
			return err
		}
	}
	return s.Close()
}

// rateOf gives the MiB that fn works through in a second of processor time.
func rateOf(text []byte, fn func() error) (float64, error) {
	start := worked()
	err := fn()
	return float64(len(text)) / (1 << 20) / (worked() - start).Seconds(), err
}

// logText writes n bytes of what services log: sentences, JSON, commits.
func logText(n int) []byte {
	r := mathrand.New(mathrand.NewPCG(1, 1))
	words := strings.Fields("GET POST request handled user session upstream timeout retry connection accepted closed cache miss hit worker queue drained started ready INFO WARN ERROR container image layer exists")
	var out bytes.Buffer
	out.Grow(n + 4096)
	for i := 0; out.Len() < n; i++ {
		fmt.Fprintf(&out, "2026-11-23T20:%02d:%02d.%06dZ ", i/60%60, i%60, r.IntN(1e6))
		switch r.IntN(5) {
		case 0:
			fmt.Fprintf(&out, `{"level":"info","trace":"%016x","path":"/api/v1/items/%d","ms":%d,"ip":"10.%d.%d.7"}`, r.Uint64(), r.IntN(1e5), r.IntN(900), r.IntN(255), r.IntN(255))
		case 1:
			fmt.Fprintf(&out, "commit %016x%016x%08x pushed by deploy@example.net", r.Uint64(), r.Uint64(), r.Uint32())
		default:
			for range 5 + r.IntN(12) {
				out.WriteString(words[r.IntN(len(words))] + " ")
			}
		}
		out.WriteByte('\n')
	}
	return out.Bytes()[:n]
}
