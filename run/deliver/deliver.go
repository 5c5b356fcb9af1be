// Package deliver brings true values to a command that may hold them: in its environment, or in a file that goes with the run.
//
// Promise: the environment is built from nothing (never the daemon's), every name and value in it is checked and bounded, two resources
// never fight silently for one name, and what was delivered is gone when the run is: files live in memory where the system can, else in a private
// folder that Close removes.
//
// Attacks stopped: variables that steer a loader, a shell or an interpreter (threat-model.md 23); a value left behind for the next run to read (6);
// plaintext on a disk (66), on Linux.
//
// Limits: a same-uid process outside the run may read the environment and descriptors of the command (20) until it runs under a uid of its own.
// A program that closes the descriptors it inherits (ssh does) cannot read a memory file.
package deliver

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Item is one value to deliver.
type Item struct {
	Name   string // of the variable; a file's path goes to NAME_FILE
	Handle string // whose it is, for messages
	Field  string // for the caller's own use; it does not travel
	File   bool   // as a file, not in the environment
	Value  secret.Secret
}

// Options of Pack.
type Options struct {
	Home  string            // the run's private folder: HOME, TMPDIR and, off Linux, files
	Plain map[string]string // the caller's own variables; the caller has checked their names
	First int               // number of the first inherited descriptor; 0 means 3
	// Base is the environment to start from. nil: BaseEnv. A person's own run passes theirs.
	Base []string
}

// Limits of what one run may carry.
const (
	MaxValue = 128 << 10 // bytes of one variable; Linux takes no longer one
	MaxPlain = 32 << 10  // bytes of one plain variable
	MaxEnv   = 1 << 20   // bytes of the whole environment
)

// Parcel is a packed delivery. Close it when the run has ended.
type Parcel struct {
	Env   []string   // complete
	Files []*os.File // to inherit, in this order, from Options.First on
	clean []func()
}

var errZero = errors.New("deliver: zero byte")

// BaseEnv is what every command gets before anything is delivered.
func BaseEnv(home string) []string {
	return []string{
		"PATH=" + SafePath,
		"HOME=" + home,
		"TMPDIR=" + home,
		"LANG=C.UTF-8",
		"TZ=UTC",
		"TERM=dumb",
	}
}

// Pack builds the environment and the files. On an error nothing is left behind.
func Pack(o Options, items []Item) (*Parcel, error) {
	if o.Base == nil {
		o.Base = BaseEnv(o.Home)
	}
	if o.First == 0 {
		o.First = 3
	}
	p := &Parcel{}
	e := environment{vars: slices.Clone(o.Base), at: make(map[string]int, len(o.Base)+len(items)), owner: map[string]string{}}
	err := e.fill(o.Plain, items, func(it Item) (string, error) { return p.file(o, it) })
	if err != nil {
		p.Close()
		return nil, err
	}
	p.Env = e.vars
	return p, nil
}

// Close closes and removes the files.
func (p *Parcel) Close() {
	for _, f := range p.Files {
		_ = f.Close()
	}
	for _, f := range p.clean {
		f()
	}
	p.Files, p.clean, p.Env = nil, nil, nil
}

// environment is a growing list of variables in which a delivered name has one owner.
type environment struct {
	vars  []string
	at    map[string]int    // name → index in vars
	owner map[string]string // delivered name → handle
	size  int
}

func (e *environment) fill(plain map[string]string, items []Item, file func(Item) (string, error)) error {
	for i, v := range e.vars {
		name, _, _ := strings.Cut(v, "=")
		e.at[name] = i
		e.size += len(v) + 1
	}
	for _, name := range sortedKeys(plain) {
		if err := e.plain(name, plain[name]); err != nil {
			return err
		}
	}
	for _, it := range items {
		if err := e.deliver(it, file); err != nil {
			return err
		}
	}
	return nil
}

func (e *environment) plain(name, value string) error {
	if !ValidName(name) || strings.ContainsRune(value, 0) || len(value) > MaxPlain {
		return fault.New(fault.InvalidArgument, "a plain variable needs a name of letters, digits and _ and a value of at most 32 KiB without zero bytes", "")
	}
	return e.set(name, value)
}

func (e *environment) deliver(it Item, file func(Item) (string, error)) error {
	name := it.Name
	if !ValidName(name) {
		return refused(it, "has no valid name for its variable", "a person sets one: zavhoz resource edit "+it.Handle+" --set env=NAME")
	}
	value := it.Value.Reveal()
	if it.File {
		name += "_FILE"
		path, err := file(it)
		if err != nil {
			return err
		}
		value = []byte(path)
	}
	if other, taken := e.owner[name]; taken {
		return fault.Newf(fault.InvalidArgument, "%s and %s both fill %s", other, it.Handle, name).
			WithNext("use one of them in a run, or a person gives one another name: zavhoz resource edit %s --set env=NAME", it.Handle)
	}
	if bytes.IndexByte(value, 0) >= 0 {
		return refused(it, "holds a zero byte, which no variable can", "a person allows it as a file: zavhoz resource policy "+it.Handle+" --delivery file").Because(errZero)
	}
	if len(value) > MaxValue {
		return refused(it, "is too long for a variable", "a person allows it as a file: zavhoz resource policy "+it.Handle+" --delivery file")
	}
	e.owner[name] = it.Handle
	return e.set(name, string(value))
}

func refused(it Item, why, next string) *fault.Error {
	return fault.Newf(fault.DeliveryRefused, "the value of %s %s", it.Handle, why).WithNext("%s", next)
}

// set adds or replaces: what is delivered wins over what the caller set, and both over the base.
func (e *environment) set(name, value string) error {
	if e.size += len(name) + len(value) + 2; e.size > MaxEnv {
		return fault.New(fault.TooLarge, "the environment of the run is larger than 1 MiB", "use fewer resources in one run")
	}
	if i, ok := e.at[name]; ok {
		e.vars[i] = name + "=" + value
		return nil
	}
	e.at[name] = len(e.vars)
	e.vars = append(e.vars, name+"="+value)
	return nil
}

// ValidName tells whether s can name a variable for every shell.
func ValidName(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
