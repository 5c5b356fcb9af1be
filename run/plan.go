package run

import (
	"cmp"
	"context"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// plan is what a request comes to with the uses that were authorised. It opens nothing and starts nothing, and is made twice: before the run is recorded, and
// again with what the recording transaction saw.
type plan struct {
	uses      []vault.Use
	delivered map[string]string // handle → delivery
	isolation string
	sort      sort
	argv      []string // of a command that starts here: complete
	pin       policy.Pin
	remote    string             // of an ssh run: the line for the server's shell
	standIns  map[string]StandIn // of a brokered run, by resource id
	workdirs  []sandbox.Workdir
	dir       string            // where a brokered command starts; "" for its private home
	through   []policy.HostRule // what the person who attends the run passes through, beside its resources' policies

	environments map[string]vault.EnvironmentValues // by resource id: what each was made of when the run began
}

// sort is which of the three sorts of run a plan is.
type sort int

const (
	remoteRun   sort = iota + 1 // ["ssh", HANDLE, …], which this process speaks itself
	pinnedRun                   // a command that a person pinned: it holds true values
	brokeredRun                 // a command that the caller chose: it holds placeholders, within walls
)

// Bounds of a request.
const (
	maxCommand  = 256      // elements
	maxElement  = 32 << 10 // bytes
	maxStdin    = 1 << 20
	maxPlainEnv = 64

	defaultTimeout = time.Minute
	maxTimeout     = time.Hour
	maxBackground  = 24 * time.Hour
)

// check bounds a request, whatever door it came by. limit is for runs that are waited for.
func (r *Request) check(limit time.Duration) error {
	bad := func(format string, args ...any) error { return fault.Newf(fault.InvalidArgument, format, args...) }
	if len(r.Command) == 0 || r.Command[0] == "" || len(r.Command) > maxCommand {
		return fault.Newf(fault.InvalidArgument, "a command is argv of 1 to %d elements", maxCommand).WithNext(`for example ["ssh","HANDLE","uptime"]`)
	}
	for _, a := range r.Command {
		if len(a) > maxElement || strings.ContainsRune(a, 0) {
			return bad("an element of the command is longer than %d bytes or holds a zero byte", maxElement)
		}
	}
	longest := limit
	if r.Background {
		longest = maxBackground
	}
	switch {
	case len(r.Stdin) > maxStdin:
		return fault.Newf(fault.TooLarge, "stdin is longer than %d bytes", maxStdin)
	case len(r.Env) > maxPlainEnv:
		return bad("more than %d plain variables", maxPlainEnv)
	case r.Timeout < 0 || r.Timeout > longest:
		return bad("the timeout of this run is at most %d s", int(longest.Seconds()))
	case r.Timeout == 0:
		r.Timeout = defaultTimeout
	}
	return nil
}

// plan decides what the request is, or refuses it. A pin that matches says that the command may hold values; what no pin matches holds none, and starts only
// within walls.
func (e *Engine) plan(ctx context.Context, r Request, uses []vault.Use) (*plan, error) {
	if len(uses) == 0 {
		return nil, fault.New(fault.InvalidArgument, "a run names at least one resource", "call list_resources")
	}
	p := &plan{uses: uses, delivered: map[string]string{}}
	if spokenHere(r, uses) {
		return p, e.planRemote(p, r)
	}
	err := e.planPinned(p, r)
	if err == nil || !e.mayBroker(r, uses, err) {
		return p, err
	}
	p = &plan{uses: uses, delivered: map[string]string{}}
	return p, e.planBrokered(ctx, p, r)
}

// spokenHere tells whether the request is exactly ["ssh", HANDLE, ARG…] for the one resource of the call, without anything that a process of its own would
// be needed for.
func spokenHere(r Request, uses []vault.Use) bool {
	return r.Command[0] == "ssh" && len(uses) == 1 && len(r.Command) > 1 && r.Command[1] == uses[0].Resource.Handle && r.Cwd == "" && len(r.Env) == 0
}

// planRemote plans ["ssh", HANDLE, ARG…].
func (e *Engine) planRemote(p *plan, r Request) error {
	p.sort = remoteRun
	res := p.uses[0].Resource
	if !e.o.Rules.Allows(res, policy.SSH) {
		return fault.New(fault.DeliveryRefused, res.Handle+" cannot be used by ssh: its kind or its policy does not allow it",
			"a person can allow it for a server: zavhoz resource policy "+res.Handle+" --delivery ssh")
	}
	line, err := ssh.Line(r.Command[2:])
	if err != nil {
		return err
	}
	if err := e.o.Rules.MatchExec(res, line); err != nil {
		return err
	}
	p.remote, p.isolation = line, InProcess
	p.delivered[res.Handle] = string(policy.SSH)
	return nil
}

// planPinned wants a pin of every resource: a command that one person trusted with one value is not thereby trusted with another.
func (e *Engine) planPinned(p *plan, r Request) error {
	p.sort, p.argv = pinnedRun, r.Command
	pins := make([]policy.Pin, 0, len(p.uses))
	for _, u := range p.uses {
		res := u.Resource
		pin, full, err := e.o.Rules.MatchPin(res, p.argv)
		if err != nil {
			return named(err, res.Handle)
		}
		p.argv = full
		pins = append(pins, pin)
		how, err := e.handOver(u)
		if err != nil {
			return err
		}
		p.delivered[res.Handle] = string(how)
	}
	var err error
	if p.pin, err = joinPins(pins, p.argv[0]); err != nil {
		return err
	}
	level := e.level()
	if p.pin.Open {
		level = policy.LevelOpen
	}
	for _, u := range p.uses {
		if err := meets(level, u.Resource); err != nil {
			return err
		}
	}
	p.isolation = string(level)
	if level == policy.LevelOpen && !p.pin.Open && e.o.Sandbox != nil && confines {
		return fault.New(fault.IsolationMissing, "a pinned command runs within walls, and this machine gives none now", "zavhoz doctor says what is missing; a person who trusts the command without walls pins it anew with --pin-open")
	}
	return e.checkCaller(p.pin, r)
}

// confines tells whether this system can confine at all. Where it can, a moment without walls (a probe that failed) must not start a command that holds values.
const confines = runtime.GOOS == "linux" || runtime.GOOS == "darwin"

// named puts the handle into the sentence that says how to pin.
func named(err error, handle string) error {
	f := fault.Of(err)
	if f.Code != fault.CommandNotPinned && f.Code != fault.CommandMismatch {
		return err
	}
	return f.WithNext("%s", strings.ReplaceAll(f.Next, "HANDLE", handle))
}

// handOver chooses how the true value goes to a pinned command: in the environment where that is allowed, else as a file.
func (e *Engine) handOver(u vault.Use) (policy.Delivery, error) {
	for _, d := range []policy.Delivery{policy.Env, policy.File} {
		if e.o.Rules.Allows(u.Resource, d) {
			return d, vault.MayDeliver(u, d)
		}
	}
	return "", fault.New(fault.DeliveryRefused, u.Resource.Handle+" may not be handed to a command by its value",
		"a person can allow it: zavhoz resource policy "+u.Resource.Handle+" --delivery env")
}

// joinPins makes one pin of those that matched, one a resource: what they say of the binary and folder must agree, what they allow the caller is what all
// allow.
func joinPins(pins []policy.Pin, binary string) (policy.Pin, error) {
	joint := pins[0]
	for _, p := range pins[1:] {
		differ := func(a, b string) bool { return a != "" && b != "" && a != b }
		if differ(joint.SHA256, p.SHA256) || differ(joint.Cwd, p.Cwd) || (joint.Cwd == "") != (p.Cwd == "") {
			return joint, fault.New(fault.CommandMismatch, "the resources pin this command with different hashes or folders",
				"a person makes the pins agree: zavhoz resource policy HANDLE --pin")
		}
		joint.SHA256 = cmp.Or(joint.SHA256, p.SHA256)
		for path, sum := range p.Files {
			if other, both := joint.Files[path]; both && other != sum {
				return joint, fault.New(fault.CommandMismatch, "the resources pin a file of this command with different hashes", "a person makes the pins agree: zavhoz resource policy HANDLE --pin")
			}
			joint.Files = maps.Clone(joint.Files)
			if joint.Files == nil {
				joint.Files = map[string]string{}
			}
			joint.Files[path] = sum
		}
		joint.Stdin, joint.Open = joint.Stdin && p.Stdin, joint.Open && p.Open
		joint.Env = slices.DeleteFunc(slices.Clone(joint.Env), func(n string) bool { return !slices.Contains(p.Env, n) })
	}
	if !filepath.IsAbs(binary) {
		return joint, fault.New(fault.CommandNotPinned, "a pinned command names its program by an absolute path", policy.HowToPin)
	}
	return joint, nil
}

// checkCaller refuses what the pin does not let the caller choose.
func (e *Engine) checkCaller(pin policy.Pin, r Request) error {
	if len(r.Stdin) > 0 && !pin.Stdin {
		return fault.Newf(fault.InvalidArgument, "the pin %s takes no stdin from its caller", pin.Name)
	}
	if r.Cwd != "" && r.Cwd != pin.Cwd {
		return fault.Newf(fault.WorkdirRefused, "the pin %s runs in its own folder", pin.Name).WithNext("leave cwd out")
	}
	for name := range r.Env {
		if !slices.Contains(pin.Env, name) || !e.o.Rules.EnvNameAllowed(name) {
			return fault.Newf(fault.InvalidArgument, "the pin %s does not let its caller set one of these variables", pin.Name).
				WithNext("it takes: %s", strings.Join(pin.Env, ", "))
		}
	}
	return nil
}

// record is what is kept of the run. Command is masked by the caller.
func (p *plan) record(r Request, command []string) vault.Run {
	return vault.Run{Command: command, Isolation: p.isolation, Delivered: p.delivered, Background: r.Background}
}
