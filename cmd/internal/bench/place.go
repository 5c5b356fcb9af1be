package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault/home"
)

// patience is how long anything that should take a moment may take.
const patience = 20 * time.Second

// place is a home with a vault of its own, driven as a person would.
type place struct {
	b      *bench
	home   string
	daemon *process
}

func (b *bench) place(ctx context.Context, name string) (*place, error) {
	p := &place{b: b, home: filepath.Join(b.dir, name)}
	_, err := p.zavhoz(ctx, "", "init")
	return p, err
}

// env is all that a program of ours gets.
func (p *place) env(more ...string) []string {
	return append([]string{"ZAVHOZ_HOME=" + p.home, "PATH=" + os.Getenv("PATH"), "HOME=" + p.home}, more...)
}

// zavhoz runs one command to its end.
func (p *place) zavhoz(ctx context.Context, stdin string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, p.b.bin, args...)
	c.Env, c.Stdin = p.env(), strings.NewReader(stdin)
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("zavhoz %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// serve starts the daemon and waits until it answers.
func (p *place) serve(ctx context.Context, args ...string) error {
	d, err := launch(ctx, p.env(), p.b.bin, append([]string{"serve"}, args...)...)
	if err != nil {
		return err
	}
	p.daemon = d
	p.b.daemons = append(p.b.daemons, d)
	_, err = until(ctx, p.answers)
	return err
}

// answers asks the daemon, once, for the list of what it can do, by the agents' socket.
func (p *place) answers() error {
	dir, err := home.At(p.home)
	if err != nil {
		return err
	}
	c, err := net.Dial("unix", dir.AgentSock())
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, hello+"\n"); err != nil {
		return err
	}
	buf := make([]byte, 1)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err = c.Read(buf)
	return err
}

func (p *place) close() error { return p.daemon.end() }

// perHandle is how many secrets one handle holds: a resource has at most 64 fields.
const perHandle = 50

func manyHandle(at int) string { return fmt.Sprintf("many_%d", at/perHandle) }

// fill adds n secrets, as many under one handle as fit.
func (p *place) fill(ctx context.Context, n int) error {
	for at := 0; at < n; at += perHandle {
		values := map[string]string{}
		for i := at; i < min(n, at+perHandle); i++ {
			values[fmt.Sprintf("bench_secret_%04d", i)] = newSecret()
		}
		object, err := json.Marshal(values)
		if err != nil {
			return err
		}
		if _, err := p.zavhoz(ctx, string(object), "resource", "add", "generic", manyHandle(at), "--secrets", "-"); err != nil {
			return err
		}
	}
	return nil
}

// newSecret is as long as the keys that providers give.
func newSecret() string { return rand.Text() + rand.Text()[:10] }

// process is a program that runs beside us.
type process struct {
	*exec.Cmd
	in  io.WriteCloser
	out io.ReadCloser
}

// launch starts a program with pipes for its input and output. Its errors are nobody's.
func launch(ctx context.Context, env []string, bin string, args ...string) (*process, error) {
	c := exec.CommandContext(ctx, bin, args...)
	c.Env = env
	p := &process{Cmd: c}
	var err error
	if p.in, err = c.StdinPipe(); err != nil {
		return nil, err
	}
	if p.out, err = c.StdoutPipe(); err != nil {
		return nil, err
	}
	return p, c.Start()
}

// end asks the program to stop and waits for it. How it ends is not judged here.
func (p *process) end() error {
	if p == nil {
		return nil
	}
	_ = p.in.Close()
	_ = p.Process.Signal(os.Interrupt)
	timer := time.AfterFunc(patience, func() { _ = p.Process.Kill() })
	defer timer.Stop()
	err := p.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// until calls ask every quarter of a millisecond until it succeeds, and gives how long that took.
func until(ctx context.Context, ask func() error) (time.Duration, error) {
	start := time.Now()
	for {
		err := ask()
		took := time.Since(start)
		if err == nil {
			return took, nil
		}
		if took > patience || ctx.Err() != nil {
			return 0, fmt.Errorf("no answer: %w", err)
		}
		time.Sleep(250 * time.Microsecond)
	}
}
