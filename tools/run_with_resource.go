package tools

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

var _ = register(runWithResource)

// Limits of one call. The engine has its own; these say it early, in the words of the arguments.
const (
	maxRunSeconds        = 3600
	maxBackgroundSeconds = 86400
	callSlack            = 30 * time.Second // between a run's own timeout and the call's
)

type runIn struct {
	Resources  []string          `json:"resources"`
	Command    []string          `json:"command"`
	Stdin      string            `json:"stdin"`
	Cwd        string            `json:"cwd"`
	Env        map[string]string `json:"env"`
	TimeoutS   int64             `json:"timeout_s"`
	Background bool              `json:"background"`
	Capture    *captureIn        `json:"capture"`
}

// runOut is a run as a model sees it. Output is redacted before it is cut.
type runOut struct {
	RunID      string            `json:"run_id"`
	State      string            `json:"state"`
	ExitCode   *int              `json:"exit_code"` // null while it runs, or where it never ended by itself
	Stdout     string            `json:"stdout"`
	Stderr     string            `json:"stderr"`
	Truncated  bool              `json:"truncated"`
	Redactions int               `json:"redactions"`
	Foreign    int               `json:"foreign_secrets"` // what looked like a secret of somebody else's, and was masked
	Error      *runError         `json:"error"`           // why it did not end by itself; null where it did
	Denials    []denialOut       `json:"denials"`
	Hints      []hintOut         `json:"hints"`   // of requests that were let through
	Changes    []changeOut       `json:"changes"` // what it wrote beside an overlaid folder, held for the operator
	Captured   *capturedOut      `json:"captured"`
	Isolation  string            `json:"isolation"`
	Delivered  map[string]string `json:"delivered"`
	NextOffset int64             `json:"next_offset"`
	DurationMS int64             `json:"duration_ms"`
}

// runError is the reason in the form that refusals have.
type runError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Next    string `json:"next"`
}

// denialOut is what the run's proxy refused to let out.
type denialOut struct {
	Request string `json:"request"` // method, host and path; "" where the command held values or its output is withheld
	Code    string `json:"code"`
	Count   int    `json:"count"` // 1 where request is "": a number would tell as much as a name
}

// hintOut is what to know of requests that were let through: a placeholder that went up where no value is put in for it.
type hintOut struct {
	Request string `json:"request"`
	Hint    string `json:"hint"`
	Count   int    `json:"count"`
}

// changeOut is a path that a run changed beside a folder.
type changeOut struct {
	Path   string `json:"path"`
	Change string `json:"change"`
}

const maxChanges = 50 // of a reply

const runOutProperties = `"run_id":{"type":"string"},"state":{"type":"string","enum":["running","exited","stopped","timed_out","failed","lost"]},"exit_code":{"type":["integer","null"]},` +
	`"stdout":{"type":"string"},"stderr":{"type":"string"},"truncated":{"type":"boolean"},"redactions":{"type":"integer"},"foreign_secrets":{"type":"integer"},` +
	`"error":{"type":["object","null"],"properties":{"code":{"type":"string"},"message":{"type":"string"},"next":{"type":"string"}},"required":["code","message","next"],"additionalProperties":false},` +
	`"denials":{"type":"array","items":{"type":"object","properties":{"request":{"type":"string"},"code":{"type":"string"},"count":{"type":"integer"}},"required":["request","code","count"],"additionalProperties":false}},` +
	`"hints":{"type":"array","items":{"type":"object","properties":{"request":{"type":"string"},"hint":{"type":"string"},"count":{"type":"integer"}},"required":["request","hint","count"],"additionalProperties":false}},` +
	`"changes":{"type":"array","items":{"type":"object","properties":{"path":{"type":"string"},"change":{"type":"string"}},"required":["path","change"],"additionalProperties":false}},` +
	`"isolation":{"type":"string"},` +
	capturedProperty + `,"delivered":{"type":"object","additionalProperties":{"type":"string"}},"next_offset":{"type":"integer"},"duration_ms":{"type":"integer"}`

var runOutRequired = []string{"run_id", "state", "exit_code", "stdout", "stderr", "truncated", "redactions", "foreign_secrets", "error", "denials", "hints", "changes", "captured", "isolation", "delivered", "next_offset", "duration_ms"}

func runWithResource(d Deps) mcp.Tool {
	return mcp.Tool{
		Name:  "run_with_resource",
		Title: "Run a command with resources",
		Description: "Runs one command with resources and gives its exit code and redacted output. command is argv, no shell unless you name one. Any command runs, in a sandbox: " +
			"for each resource its variables (environment in list_resources) hold a placeholder of the same shape, which turns into the true value only in requests to the hosts of that resource. " +
			"There is no other network. A server is reached as ssh HANDLE, a database by its URL variable. " +
			`["ssh", HANDLE, COMMAND…] alone is quickest for one command on a server. A command that the operator pinned (pinned_commands) is run as it is written there with its {holes} filled, ` +
			`or as ["pin:NAME", VALUE…], and may hold the value itself. background:true returns at once with a run_id for get_run and stop_run. ` +
			"changes are held beside an overlaid folder: only your own next run there goes on from them, until the operator keeps or discards them. " +
			`Example: {"resources":["openai_main"],"command":["sh","-c","curl -sS https://api.openai.com/v1/models -H \"Authorization: Bearer $OPENAI_API_KEY\""]}`,
		Input: schema(`"resources":{"type":"array","minItems":1,"maxItems":64,"items":{"type":"string","maxLength":64},"description":"handles or lease ids"},`+
			`"command":{"type":"array","minItems":1,"maxItems":256,"items":{"type":"string","maxLength":32768},"description":"argv"},`+
			`"stdin":{"type":"string","maxLength":1048576},`+
			`"cwd":{"type":"string","maxLength":4096,"description":"a folder that the operator allowed; default a private temporary one"},`+
			`"env":{"type":"object","maxProperties":64,"additionalProperties":{"type":"string","maxLength":32768},"description":"plain variables"},`+
			`"timeout_s":{"type":"integer","minimum":1,"maximum":86400,"description":"default 60; at most 3600, in the background 86400"},`+
			`"background":{"type":"boolean"},`+
			captureProperty(`"generic"`, "makes a new resource of parts of stdout, which is then not shown"), "resources", "command"),
		Output:      schema(runOutProperties, runOutRequired...),
		Annotations: mcp.Annotations{Destructive: true, OpenWorld: true},
		Timeout:     maxRunSeconds*time.Second + callSlack,
		Handle: func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
			in, err := input[runIn](c)
			if err != nil {
				return mcp.Result{}, err
			}
			limit := int64(maxRunSeconds)
			if in.Background {
				limit = maxBackgroundSeconds
			}
			if in.TimeoutS > limit {
				return mcp.Result{}, fault.Newf(fault.InvalidArgument, "timeout_s is at most %d here", limit).WithNext("use background:true for longer work")
			}
			if err := closed(c); err != nil {
				return mcp.Result{}, err
			}
			who := actor(c, "")
			res, err := d.Runner.Run(ctx, run.Request{
				Actor: who, Refs: in.Resources, Command: in.Command, Stdin: []byte(in.Stdin), Cwd: in.Cwd, Env: in.Env,
				Timeout: time.Duration(in.TimeoutS) * time.Second, Background: in.Background, Capture: in.Capture.spec(),
				Progress: func(p run.Progress) {
					c.Progress(p.Elapsed.Seconds(), 0, fmt.Sprintf("running for %d s, %d bytes of output", int(p.Elapsed.Seconds()), p.Bytes))
				},
			})
			if err != nil {
				return askedFor(c, err), refused(ctx, d, who, in.Resources, oneWord(err, in.Command))
			}
			return runView(ends(res), true), nil
		},
	}
}

// oneWord explains argv to who gave a whole command line as the name of a program.
func oneWord(err error, argv []string) error {
	code := fault.CodeOf(err)
	if len(argv) != 1 || !strings.ContainsAny(strings.TrimSpace(argv[0]), " \t\n") || code != fault.BinaryMissing && code != fault.CommandNotPinned {
		return err
	}
	f := fault.Of(err)
	again := fault.New(f.Code, f.Message, `command is argv, one word an element: ["ls","-l"], not ["ls -l"]; a shell's line is ["sh","-c",LINE]`).Because(err)
	again.Details = f.Details
	return again
}

// unplanned are the refusals that a run meets after it is authorised and before it is recorded: the engine decides them, and nobody else writes them down.
var unplanned = []fault.Code{fault.CommandNotPinned, fault.CommandMismatch, fault.DeliveryRefused, fault.IsolationMissing, fault.WorkdirRefused}

// refused records such a refusal and gives it back.
func refused(ctx context.Context, d Deps, who vault.Actor, refs []string, err error) error {
	code := fault.CodeOf(err)
	if !slices.Contains(unplanned, code) {
		return err
	}
	return noteRefused(ctx, d, who, refs[0], err)
}

// noteRefused records a refusal of what was authorised; ref is hence a handle or a lease's id.
func noteRefused(ctx context.Context, d Deps, who vault.Actor, ref string, err error) error {
	e := audit.Event{Actor: who, Action: audit.RunStart, Outcome: audit.Denied, Code: string(fault.CodeOf(err))}
	if e.Subject = ref; vault.CheckHandle(ref) == nil {
		e.Subject, e.Handle = "", ref
	}
	if nerr := d.Vault.Note(ctx, e); nerr != nil {
		return nerr
	}
	return err
}

// replyOutput is how many bytes of each stream a reply shows at its end: both together are about 10,000 tokens, and clients cut what is longer by
// themselves. get_run pages through the rest.
const replyOutput = 16 << 10

// ends keeps the ends of a run's outputs.
func ends(r run.Result) run.Result {
	var cut [2]bool
	r.Stdout, cut[0] = end(r.Stdout)
	r.Stderr, cut[1] = end(r.Stderr)
	r.Truncated = r.Truncated || cut[0] || cut[1]
	return r
}

func end(s string) (string, bool) {
	if len(s) <= replyOutput {
		return s, false
	}
	s = s[len(s)-replyOutput:]
	for len(s) > 0 && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return s, true
}

// changesText tells a model where what it wrote beside folders is, and what it saw of earlier changes.
func changesText(r run.Result) (text string) {
	if r.From != "" {
		text += fmt.Sprintf(" It went on from the changes of %s.", r.From)
	}
	if r.Apart != "" {
		text += fmt.Sprintf(" %s, a run of yours beside the same folder, was under way: this one saw none of its changes, nor earlier ones.", r.Apart)
	}
	if r.In != "" {
		text += fmt.Sprintf(" Its changes went on in %s.", r.In)
	}
	if n := len(r.Changes); n > 0 {
		text += fmt.Sprintf(" %s held beside the folder, not in it: your next run there goes on from them; nobody else sees them until the operator keeps them (`zavhoz runs keep %s`).",
			plural(n, "change"), r.RunID)
	}
	return text
}

// runView is the one place in which a run becomes a reply to a model. tail says that it shows the end of the output, and not the page from an offset on.
func runView(r run.Result, tail bool) mcp.Result {
	out := runOut{
		RunID: r.RunID, State: string(r.State), Stdout: r.Stdout, Stderr: r.Stderr, Truncated: r.Truncated, Redactions: r.Redactions, Foreign: r.Foreign, Denials: []denialOut{}, Hints: []hintOut{}, Changes: []changeOut{}, Captured: capturedView(r.Captured),
		Isolation: r.Isolation, Delivered: nonNil(r.Delivered), NextOffset: r.NextOffset, DurationMS: r.Duration.Milliseconds(),
	}
	text, cut := "", "Output before this is gone."
	if tail {
		cut = "The output is cut, its end is here: get_run with offset 0 reads what is kept of it."
	}
	for _, d := range r.Denials {
		out.Denials = append(out.Denials, denialOut{d.Where, d.Code, d.Count})
	}
	for _, h := range r.Hints {
		out.Hints = append(out.Hints, hintOut{h.Where, h.Text, h.Count})
	}
	for _, c := range r.Changes[:min(len(r.Changes), maxChanges)] {
		out.Changes = append(out.Changes, changeOut{filepath.Join(c.Workdir, c.Path), string(c.Kind)})
	}
	switch r.State {
	case vault.RunRunning:
		text = fmt.Sprintf("Running as %s; call get_run for its output.", r.RunID)
	case vault.RunExited:
		out.ExitCode = &r.ExitCode
		text = fmt.Sprintf("Exit code %d.", r.ExitCode)
	case vault.RunTimedOut:
		text = "Stopped by its timeout."
	case vault.RunStopped:
		text = "Stopped."
	case vault.RunLost:
		text = "Lost, with its output."
	default:
		text = "Failed."
	}
	if f := r.Failure; f != nil {
		out.Error = &runError{f.Code, f.Message, f.Next}
		if text += " " + f.Code + ": " + f.Message + "."; f.Next != "" {
			text += " Next: " + f.Next + "."
		}
	}
	text += capturedText(r.Captured)
	if r.Withheld {
		text += " The output was withheld: it held what looks like a disguised secret."
	}
	if r.Truncated {
		text += " " + cut
	}
	if !tail && r.NextOffset < r.StdoutBytes+r.StderrBytes {
		text += " More with next_offset."
	}
	text += changesText(r)
	if len(r.Denials) > 0 {
		text += " Requests were refused: see denials."
	}
	if len(r.Hints) > 0 {
		text += " A placeholder went up where no value is put in for it: see hints."
	}
	if r.Redactions > 0 {
		text += fmt.Sprintf(" %s redacted.", plural(r.Redactions, "secret"))
	}
	return mcp.Result{Text: text, Structured: out}
}
