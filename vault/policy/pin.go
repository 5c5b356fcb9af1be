package policy

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
)

var (
	pinName  = lazyregexp.New(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	hexHash  = lazyregexp.New(`^[0-9a-f]{64}$`)
	winDrive = lazyregexp.New(`^[A-Za-z]:\\[^\x00-\x1f]+$`)
)

// Limits of a pin.
const (
	maxPins = 64
	maxArgv = 256
	maxElem = 4096 // bytes
)

// PinPrefix begins the short form of a pinned command: ["pin:NAME", VALUE…].
const PinPrefix = "pin:"

// HowToPin is the next step of a refused command. Callers who know the handle replace HANDLE.
const HowToPin = "a person allows one command with `zavhoz resource policy HANDLE --pin NAME -- /absolute/program arg {n:int}`"

// Validate checks a pin: an absolute program, well-formed holes, no hole in what a shell or an interpreter would run as a script.
func (p Pin) Validate() error {
	if !pinName.MatchString(p.Name) {
		return badPin("a pin's name has 1–64 lower-case letters, digits, `_`, `-` or `.`, and begins with a letter or digit")
	}
	elements, err := parseArgv(p.Argv)
	if err != nil {
		return badPin(err.Error())
	}
	if !absolute(p.Argv[0]) {
		return badPin("the program is an absolute path without `.`, `..` or a hole: a name alone could be found elsewhere")
	}
	if p.SHA256 != "" && !hexHash.MatchString(p.SHA256) {
		return badPin("the program's SHA-256 is 64 lower-case hex digits")
	}
	if p.Cwd != "" && !absolute(p.Cwd) && p.Cwd != "/" {
		return badPin("its working folder is an absolute path")
	}
	for _, n := range p.Env {
		if !EnvNameAllowed(n) {
			return badPin("one of the variables that its caller may set steers a loader, a shell or an interpreter, or is no name")
		}
	}
	for path, sum := range p.Files {
		if !slices.Contains(p.Argv[1:], path) || !absolute(path) || !hexHash.MatchString(sum) {
			return badPin("the files that it names are absolute paths among its arguments, each with its SHA-256 in 64 lower-case hex digits")
		}
	}
	return checkScripts(elements, p.Stdin)
}

func badPin(why string) *fault.Error {
	return fault.New(fault.InvalidArgument, "a pinned command is not valid: "+why, "write `--pin NAME -- /absolute/program arg {n:int}`")
}

// absolute tells whether p is an absolute, clean path of this or the other family of systems, without a hole.
func absolute(p string) bool {
	if holeLike.MatchString(p) || strings.ContainsFunc(p, notPlain) {
		return false
	}
	if strings.HasPrefix(p, "/") {
		return path.Clean(p) == p && p != "/"
	}
	return winDrive.MatchString(p) && !strings.Contains(p, `\..`) && !strings.Contains(p, `\.\`)
}

// parseArgv reads a template; a repeated hole comes last, and no two holes have one name.
func parseArgv(argv []string) ([]element, error) {
	if len(argv) == 0 || len(argv) > maxArgv {
		return nil, errors.New("it has 1 to 256 elements")
	}
	elements := make([]element, len(argv))
	seen := map[string]bool{}
	for i, a := range argv {
		if len(a) > maxElem || strings.ContainsRune(a, 0) {
			return nil, errors.New("an element is too long or holds a zero byte")
		}
		e, err := parseElement(a)
		if err != nil {
			return nil, err
		}
		if h := e.hole; h != nil {
			if seen[h.name] {
				return nil, errors.New("two holes have one name")
			}
			seen[h.name] = true
			if h.many && i != len(argv)-1 {
				return nil, errors.New("a repeated hole is the last element")
			}
		}
		elements[i] = e
	}
	return elements, nil
}

// Match tells whether argv is the pinned command with its holes filled. A refusal is command_mismatch: it names the element and the type that is
// expected, and of what was given only its class.
func (p Pin) Match(argv []string) error {
	elements, err := parseArgv(p.Argv)
	if err != nil {
		return badPin(err.Error())
	}
	_, err = matchElements(elements, argv)
	return err
}

// matchElements gives how many elements fit before the first that does not.
func matchElements(elements []element, argv []string) (int, error) {
	for i, e := range elements {
		if e.hole != nil && e.hole.many {
			return matchMany(e.hole, i, argv[min(i, len(argv)):])
		}
		if i >= len(argv) {
			return i, mismatch("the command ends before element %d, which is %s", i, e.describe())
		}
		if !e.fits(argv[i]) {
			return i, mismatch("element %d must be %s; what was given is %s", i, e.describe(), classOf(argv[i]))
		}
	}
	if len(argv) > len(elements) {
		return len(elements), mismatch("the command has %d elements, the pin %d", len(argv), len(elements))
	}
	return len(elements), nil
}

func matchMany(h *hole, from int, rest []string) (int, error) {
	if len(rest) > maxMany {
		return from, mismatch("the pin takes at most %d values of {%s:%s...}", maxMany, h.name, h.typ)
	}
	for i, v := range rest {
		if !h.fits(v) {
			return from + i, mismatch("element %d must be a value of type %s; what was given is %s", from+i, h.typ, classOf(v))
		}
	}
	return from + len(rest), nil
}

func mismatch(format string, args ...any) *fault.Error {
	return fault.Newf(fault.CommandMismatch, format, args...).WithNext("call it as list_resources shows it, with each {name:type} replaced by a value of that type")
}

func (e element) fits(v string) bool {
	if e.hole == nil {
		return v == e.literal
	}
	rest, ok := strings.CutPrefix(v, e.hole.head)
	return ok && e.hole.fits(rest)
}

// describe says what is expected: a pin is public to the agents that may use the resource.
func (e element) describe() string {
	if e.hole == nil {
		return fmt.Sprintf("%q", e.literal)
	}
	return fmt.Sprintf("%q", e.hole.head+"{"+e.hole.name+":"+e.hole.typ+"}")
}

// Expand turns the short form ["pin:NAME", VALUE…] into the command, the holes filled in their order. Any other argv comes back as it is.
func (p Pin) Expand(argv []string) ([]string, error) {
	if len(argv) == 0 || argv[0] != PinPrefix+p.Name {
		return argv, nil
	}
	elements, err := parseArgv(p.Argv)
	if err != nil {
		return nil, badPin(err.Error())
	}
	values := argv[1:]
	out := make([]string, 0, len(elements))
	for _, e := range elements {
		switch {
		case e.hole == nil:
			out = append(out, e.literal)
		case e.hole.many:
			out, values = append(out, values...), nil
		case len(values) == 0:
			return nil, mismatch("the pin needs a value for %s", e.describe())
		default:
			out, values = append(out, e.hole.head+values[0]), values[1:]
		}
	}
	if len(values) > 0 {
		return nil, mismatch("more values were given than the pin has holes")
	}
	return out, nil
}

// MatchAny finds the pin that argv is a call of, and gives it with the complete command. Refusals: command_mismatch where a pin is meant (by its
// name or its program) and does not fit; else command_not_pinned with the sentence that a person needs.
func MatchAny(pins []Pin, argv []string) (Pin, []string, error) {
	var nearest error
	depth := -1
	for _, p := range pins {
		full, err := p.Expand(argv)
		if err != nil {
			return Pin{}, nil, err
		}
		elements, err := parseArgv(p.Argv)
		if err != nil {
			return Pin{}, nil, badPin(err.Error())
		}
		n, err := matchElements(elements, full)
		if err == nil {
			return p, full, nil
		}
		if n > 0 && n > depth {
			nearest, depth = err, n
		}
	}
	if nearest != nil {
		return Pin{}, nil, nearest
	}
	return Pin{}, nil, fault.New(fault.CommandNotPinned, "the command is not one that the operator pinned for this resource", HowToPin)
}
