package run

import (
	"context"

	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// pinned runs a command that a person pinned, within walls: it holds the true values, and so must not be able to take them anywhere. It sees a read-only
// system, the folder that the pin names, and the hosts of its resources through the proxy, which swaps nothing here.
func (e *Engine) pinned(ctx context.Context, l *live, p *plan, r Request, out, errs *masked) (exit, error) {
	binary, err := process.OpenBinary(process.Want{Path: p.argv[0], SHA256: p.pin.SHA256})
	if err != nil {
		return exit{}, err
	}
	defer binary.Close()
	box, err := e.o.Sandbox.Open(ctx, sandbox.BoxOptions{RunID: l.record.ID, Level: policy.Level(p.isolation)})
	if err != nil {
		return exit{}, err
	}
	defer e.closeBox(l, box)
	o, err := e.outfit(ctx, l, p, box)
	if err != nil {
		return exit{}, err
	}
	defer o.close()
	items, err := e.values(l, p)
	defer wipe(items)
	if err != nil {
		return exit{}, err
	}
	spec, err := o.spec(within{binary: binary, argv: p.argv, dir: p.pin.Cwd, items: items, plain: r.Env, input: r.Stdin})
	if err != nil {
		return exit{}, err
	}
	spec.Stdout, spec.Stderr = out, errs
	if p.pin.Cwd != "" {
		if _, err := workdir(p.pin.Cwd, ""); err != nil {
			return exit{}, err
		}
		spec.Workdirs = []sandbox.Workdir{{Path: p.pin.Cwd, Mode: sandbox.ReadWrite}}
	}
	return o.see(ctx, spec)
}
