package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// settle is how long a daemon is left alone before its memory counts.
const settle = 1500 * time.Millisecond

// startDaemon is goal 7: from the start of `zavhoz serve`, with an identity file and a vault of a hundred secrets, to its first
// MCP answer; and what it holds of memory when idle beyond a program that links the same libraries and does nothing.
func startDaemon(ctx context.Context, b *bench) ([]Row, error) {
	p, err := b.place(ctx, "start")
	if err != nil {
		return nil, err
	}
	if err := p.serve(ctx); err != nil {
		return nil, err
	}
	if err := p.fill(ctx, 100); err != nil {
		return nil, err
	}
	if err := p.close(); err != nil {
		return nil, err
	}
	answer, err := b.floor(ctx, "answer")
	if err != nil {
		return nil, err
	}
	linked, err := b.linked(ctx)
	if err != nil {
		return nil, err
	}
	sock := filepath.Join(b.dir, "answer.sock")
	got, err := turns(b.rounds(20),
		func() (float64, error) {
			_ = os.Remove(sock)
			return firstAnswer(ctx, os.Environ(), func() error { return answersHTTP(sock) }, answer, sock)
		},
		func() (float64, error) { return firstAnswer(ctx, p.env(), p.answers, b.bin, "serve") })
	if err != nil {
		return nil, err
	}
	rows := []Row{}
	r := Row{What: "start to first answer, beside a bare Go HTTP server", Floor: got[0], Ours: got[1], Unit: "ms"}
	rows = append(rows, r.atMost(r.Ours, "ms", 40))
	got, err = turns(2,
		func() (float64, error) { return idleMemory(ctx, os.Environ(), nil, linked) },
		func() (float64, error) { return idleMemory(ctx, p.env(), p.answers, b.bin, "serve") })
	if err != nil {
		return nil, err
	}
	r = Row{What: "memory of an idle daemon (RSS), beyond the linked libraries", Floor: got[0], Ours: got[1], Unit: "MiB"}
	return append(rows, r.atMost(r.Ours-r.Floor, "MiB", 24)), nil
}

// firstAnswer gives the milliseconds from a program's start until it answers.
func firstAnswer(ctx context.Context, env []string, ask func() error, bin string, args ...string) (float64, error) {
	start := time.Now()
	p, err := launch(ctx, env, bin, args...)
	if err != nil {
		return 0, err
	}
	_, err = until(ctx, ask)
	took := time.Since(start)
	return float64(took.Microseconds()) / 1e3, errors.Join(err, p.end())
}

func answersHTTP(sock string) error {
	c, err := net.Dial("unix", sock)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

// idleMemory gives the MiB that a program holds when it has been left alone for a while. Without ask it says itself that it is ready.
func idleMemory(ctx context.Context, env []string, ask func() error, bin string, args ...string) (mib float64, err error) {
	p, err := launch(ctx, env, bin, args...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	if ask == nil {
		_, err = p.out.Read(make([]byte, 16))
	} else {
		_, err = until(ctx, ask)
	}
	if err != nil {
		return 0, err
	}
	time.Sleep(settle)
	return residentMiB(p.Process.Pid)
}

// residentMiB reads VmRSS, which Linux alone tells.
func residentMiB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0, errors.New("this system does not tell how much memory a process holds")
	}
	kib, err := strconv.ParseFloat(f[0], 64)
	return kib / 1024, err
}
