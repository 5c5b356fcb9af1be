package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// startCommand is goal 1: `zavhoz run HANDLE… --open -- true` through a daemon that runs, beside a plain exec of the same, and beside a Go program
// that only runs it with pipes; and beside `sops exec-env` with as many secrets in its file.
func startCommand(ctx context.Context, b *bench) ([]Row, error) {
	truth, err := exec.LookPath("true")
	if err != nil {
		return nil, err
	}
	child, err := b.floor(ctx, "child")
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	each := []func() (float64, error){
		spawned(null, os.Environ(), truth),
		spawned(null, os.Environ(), child, truth),
	}
	counts := []int{10, 1000}
	for _, n := range counts {
		p, args, err := b.withSecrets(ctx, n)
		if err != nil {
			return nil, err
		}
		defer p.close()
		each = append(each, spawned(null, p.env(), b.bin, append(args, truth)...))
	}
	peer, err := b.person(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range counts {
		name := fmt.Sprintf("env-%d.yaml", n)
		if err := peer.file(ctx, name, n, false); err != nil {
			return nil, err
		}
		each = append(each, spawned(null, peer.env, peer.sops, "exec-env", filepath.Join(peer.dir, name), truth))
	}
	got, err := turns(b.rounds(200), each...)
	if err != nil {
		return nil, err
	}
	rows := []Row{Row{What: "floor of a Go program: `true` run with pipes, beside plain exec", Floor: got[0], Ours: got[1], Unit: "µs"}.ratio(1, "×")}
	for i, n := range counts {
		r := Row{What: fmt.Sprintf("`zavhoz run … --open -- true`, %d secrets, beside plain exec", n), Floor: got[0], Ours: got[2+i], Unit: "µs"}
		rows = append(rows, r.times([]float64{4, 6}[i]))
		peer := Row{What: fmt.Sprintf("the same, %d secrets, beside `sops exec-env`", n), Floor: got[2+len(counts)+i], Ours: got[2+i], Unit: "µs"}
		rows = append(rows, peer.ratio(1, "×"))
	}
	return rows, nil
}

// withSecrets gives a place with a daemon and n secrets, and the arguments of a run that takes them all. A later goal finds it as it was left.
func (b *bench) withSecrets(ctx context.Context, n int) (*place, []string, error) {
	p := &place{b: b, home: filepath.Join(b.dir, fmt.Sprintf("s%d", n))}
	_, err := os.Stat(p.home)
	fresh := errors.Is(err, os.ErrNotExist)
	if fresh {
		_, err = p.zavhoz(ctx, "", "init")
	}
	if err == nil {
		err = p.serve(ctx)
	}
	if err != nil {
		return nil, nil, err
	}
	if fresh {
		err = p.fill(ctx, n)
	}
	args := []string{"run"}
	for at := 0; at < n; at += perHandle {
		args = append(args, manyHandle(at))
	}
	return p, append(args, "--open", "--"), err
}

// spawned measures, in microseconds, a program from its start until it has been waited for.
func spawned(null *os.File, env []string, bin string, args ...string) func() (float64, error) {
	argv := append([]string{bin}, args...)
	return func() (float64, error) {
		start := time.Now()
		p, err := os.StartProcess(bin, argv, &os.ProcAttr{Env: env, Files: []*os.File{null, null, null}})
		if err != nil {
			return 0, err
		}
		st, err := p.Wait()
		took := time.Since(start)
		if err == nil && !st.Success() {
			err = fmt.Errorf("%s: %s", bin, st)
		}
		return float64(took.Nanoseconds()) / 1e3, err
	}
}
