package run

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/run/deliver"
	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// within is a command that starts within walls, of either sort.
type within struct {
	binary  *process.Binary // of a pinned command, opened and checked; nil: looked up inside
	argv    []string
	dir     string // inside; "" for the private home
	items   []deliver.Item
	plain   map[string]string
	input   []byte
	inherit []*os.File
}

// brokered runs a command that the caller chose: placeholders in its environment, walls around it, and no way out but through the run's own services.
func (e *Engine) brokered(ctx context.Context, l *live, p *plan, r Request, out, errs *masked) (exit, error) {
	at, err := e.place(ctx, l, p)
	if err != nil {
		return exit{}, err
	}
	defer e.hold(l, at)
	box, err := e.o.Sandbox.Open(ctx, at.box(l.record.ID, p.isolation))
	if err != nil {
		return exit{}, err
	}
	defer e.closeBox(l, box)
	o, err := e.outfit(ctx, l, p, box)
	if err != nil {
		return exit{}, err
	}
	defer o.close()
	o.at = at
	spec, err := o.spec(within{argv: p.argv, dir: p.dir, items: o.items, plain: r.Env, input: r.Stdin})
	if err != nil {
		return exit{}, err
	}
	spec.Workdirs, spec.Stdout, spec.Stderr = p.workdirs, out, errs
	return o.see(ctx, spec)
}

// closeBox takes the walls down, and what was within.
func (e *Engine) closeBox(l *live, box *sandbox.Box) {
	if err := box.Close(); err != nil {
		e.o.Log.Error("what was left of a run could not be removed", "run", l.record.ID, "cause", fault.Cause(err))
	}
}

// spec packs the environment: what every command gets, what leads to the proxy, what stands for the resources.
func (o *outfit) spec(w within) (sandbox.Spec, error) {
	base := merged(deliver.BaseEnv(o.box.Home()), o.box.Environment(), o.extra)
	if o.first != "" {
		base = append(slices.DeleteFunc(base, func(v string) bool { return strings.HasPrefix(v, "PATH=") }), "PATH="+o.first+":"+deliver.SafePath)
	}
	parcel, err := deliver.Pack(deliver.Options{Home: o.box.Home(), Plain: w.plain, Base: base}, w.items)
	if err != nil {
		return sandbox.Spec{}, err
	}
	o.closers = append(o.closers, parcel.Close)
	return sandbox.Spec{
		Binary: w.binary, Argv: w.argv, Env: parcel.Env, Dir: w.dir, Files: o.files, Listen: o.listen, Inherit: append(parcel.Files, w.inherit...), Input: w.input,
	}, nil
}

// merged joins environments: of a variable that several set the last holds.
func merged(lists ...[]string) []string {
	at := map[string]int{}
	var out []string
	for _, kv := range slices.Concat(lists...) {
		name, _, _ := strings.Cut(kv, "=")
		if i, ok := at[name]; ok {
			out[i] = kv
			continue
		}
		at[name] = len(out)
		out = append(out, kv)
	}
	return out
}

// see starts what spec says, serves it, and sees it to its end; when ctx ends it stops it.
func (o *outfit) see(ctx context.Context, spec sandbox.Spec) (exit, error) {
	if ctx.Err() != nil {
		return exit{}, context.Cause(ctx)
	}
	proc, err := o.box.Start(ctx, spec)
	if err != nil {
		return exit{}, err
	}
	o.start(proc)
	if err := proc.Run(); err != nil {
		proc.Kill()
		<-proc.Done()
		return exit{}, err
	}
	select {
	case <-proc.Done():
		return exit{proc.Wait().Code}, proc.Cut()
	case <-ctx.Done():
		proc.Stop()
		x := exit{proc.Wait().Code}
		return x, context.Cause(ctx)
	}
}
