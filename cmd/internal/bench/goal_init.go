package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// initialise is goal 2: what initialising our own packages takes, beside what the linked ones take, by the runtime's own trace of one start.
func initialise(ctx context.Context, b *bench) ([]Row, error) {
	var libs float64
	got, err := turns(b.rounds(30), func() (float64, error) {
		var own float64
		var err error
		own, libs, err = b.initTrace(ctx)
		return own, err
	}, func() (float64, error) { return libs, nil })
	if err != nil {
		return nil, err
	}
	r := Row{What: "initialising our packages, beside those of the linked libraries", Floor: got[1], Ours: got[0], Unit: "ms"}
	return []Row{r.atMost(r.Ours, "ms", 1)}, nil
}

// initTrace gives the milliseconds that the packages of ours, and the others, took in one start: lines of the form
// "init PATH @3.1 ms, 0.25 ms clock, …".
func (b *bench) initTrace(ctx context.Context) (own, others float64, err error) {
	c := exec.CommandContext(ctx, b.bin, "--version")
	c.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	stderr, err := c.StderrPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := c.Start(); err != nil {
		return 0, 0, err
	}
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 7 || f[0] != "init" || f[5] != "ms" {
			continue
		}
		ms, err := strconv.ParseFloat(f[4], 64)
		if err != nil {
			return 0, 0, err
		}
		if f[1] == "main" || strings.HasPrefix(f[1], module) {
			own += ms
		} else {
			others += ms
		}
	}
	return own, others, c.Wait()
}
