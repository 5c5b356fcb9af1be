// Command bench measures whole processes against floors: how much of what zavhoz costs is zavhoz, and not the kernel, the disk or the libraries.
//
// Promise: every figure is of this run, and stands beside the floor that it is judged by, measured in turns with it (A B A B …) on the same machine
// under the same load; what counts is the ratio of the two medians. A floor does the same job and nothing of ours: a plain exec, two fdatasyncs, a
// bare group commit, cat, a bare mcp-go server. No test asserts a time: a busy machine would fail it, an idle one would hide what it hides.
//
// `make bench` runs it, and docs/performance.md keeps a run with its machine. Goals are numbered as there. What it plants as secrets is random and
// goes with the temporary folder that it works in.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// bench is what every goal works with.
type bench struct {
	bin   string // the zavhoz that is measured
	dir   string // scratch, gone at the end
	root  string // of this module, whose libraries the floors link
	light bool   // fewer rounds: to see that all works

	daemons []*process // every one that was started, to be ended whatever happens
}

// rounds gives how often to measure: a tenth of it where light.
func (b *bench) rounds(n int) int {
	if b.light {
		return max(3, n/10)
	}
	return n
}

// goals are measured in this order. The names are those of docs/performance.md.
var goals = []struct {
	name string
	run  func(context.Context, *bench) ([]Row, error)
}{
	{"1", startCommand},
	{"2", initialise},
	{"3", put},
	{"4", getAndOpen},
	{"open", openVault},
	{"import", importAll},
	{"rotate", rotateKey},
	{"7", startDaemon},
	{"8", redactPipe},
	{"9", overPostgres},
	{"10", sopsFiles},
	{"11", callTool},
	{"sync", reconcile},
}

func main() {
	only := flag.String("goal", "", "measure only these, apart by commas: 1, 2, 3, 4, open, import, rotate, 7, 8, 9, 10, 11, sync")
	asJSON := flag.Bool("json", false, "print the rows as JSON")
	light := flag.Bool("light", false, "a tenth of the rounds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var names []string
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	if err := measure(ctx, names, *light, *asJSON, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// close ends the daemons that a goal which failed left behind; those that have ended are none.
func (b *bench) close() {
	for _, d := range b.daemons {
		_ = d.end()
	}
}

// measure runs the goals named (none: all) and prints what they gave.
func measure(ctx context.Context, names []string, light, asJSON bool, out io.Writer) error {
	dir, err := os.MkdirTemp("", "zvb")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, light: light}
	defer b.close()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	m := machine(ctx)
	if !asJSON {
		m.print(out)
	}
	var all []Row
	for _, g := range goals {
		if len(names) > 0 && !slices.Contains(names, g.name) {
			continue
		}
		rows, err := g.run(ctx, b)
		if err != nil {
			return fmt.Errorf("goal %s: %w", g.name, err)
		}
		for i := range rows {
			rows[i].Goal = g.name
		}
		all = append(all, rows...)
		if !asJSON {
			printRows(out, rows, len(all) == len(rows))
		}
	}
	if asJSON {
		return writeJSON(out, m, all)
	}
	return nil
}
