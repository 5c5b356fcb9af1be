package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"time"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// age's client of plugins hands its whole environment on, prints the conversation where AGEDEBUG says so, and waits for ever. So it runs in a child of ours, whose
// environment is a list and whose time is bounded; its conversation with us is one message each way, over pipes.

// Times that a plugin may take.
const (
	pluginAlone  = 30 * time.Second // nobody is there to touch a token
	pluginPerson = 3 * time.Minute
	pluginOutput = 1 << 20 // bytes
)

// plugins runs age-plugin-NAME from the PATH that this process was started with.
type plugins struct {
	ctx    context.Context
	person bool // one sits at the terminal, whom a plugin may ask
}

// plugins are those of a command: they may ask where a person could be asked.
func (a *app) plugins(ctx context.Context) keyring.Plugins {
	_, done, ok := a.terminal()
	if ok {
		done()
	}
	return plugins{ctx, ok}
}

// Recipient gives what wraps by a plugin.
func (p plugins) Recipient(text string) (age.Recipient, error) { return pluginKey{p, text}, nil }

// Identity gives what unwraps by a plugin.
func (p plugins) Identity(text string) (age.Identity, error) { return pluginKey{p, text}, nil }

// pluginKey is a recipient or an identity of a plugin.
type pluginKey struct {
	p    plugins
	text string
}

var (
	_ age.RecipientWithLabels = pluginKey{}
	_ age.Identity            = pluginKey{}
)

// pluginAsk is the message to the child, and pluginAnswer the one back.
type pluginAsk struct {
	Text    string        `json:"text"`
	FileKey []byte        `json:"file_key,omitempty"` // to wrap
	Stanzas []*age.Stanza `json:"stanzas,omitempty"`  // to unwrap
	Person  bool          `json:"person"`
}

type pluginAnswer struct {
	Stanzas []*age.Stanza `json:"stanzas,omitempty"`
	Labels  []string      `json:"labels,omitempty"`
	FileKey []byte        `json:"file_key,omitempty"`
	Failed  string        `json:"failed,omitempty"` // missing, identity, asks, other
}

// Wrap implements age.Recipient.
func (k pluginKey) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	st, _, err := k.WrapWithLabels(fileKey)
	return st, err
}

// WrapWithLabels implements age.RecipientWithLabels.
func (k pluginKey) WrapWithLabels(fileKey []byte) ([]*age.Stanza, []string, error) {
	out, err := k.p.talk(k.text, pluginAsk{Text: k.text, FileKey: fileKey})
	return out.Stanzas, out.Labels, err
}

// Unwrap implements age.Identity.
func (k pluginKey) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	out, err := k.p.talk(k.text, pluginAsk{Text: k.text, Stanzas: stanzas})
	return out.FileKey, err
}

func (p plugins) talk(text string, ask pluginAsk) (out pluginAnswer, err error) {
	ask.Person = p.person
	limit := pluginAlone
	if p.person {
		limit = pluginPerson
	}
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	cmd, err := ownChild(ctx, pluginEnv(), "key", "plugin")
	if err != nil {
		return out, err
	}
	if p.person {
		cmd.Stderr = os.Stderr // where the plugin's words to the person go
		defer keepTerminal()()
	}
	err = consult(cmd, ask, &out)
	name := pluginName(text)
	switch {
	case p.ctx.Err() != nil:
		return out, nothingEntered(p.ctx.Err())
	case ctx.Err() != nil:
		return out, fault.New(fault.TimedOut, "the plugin "+name+" did not answer in time", "try again on a terminal, where it can ask").Because(ctx.Err())
	case err != nil:
		return out, fault.New(fault.NotSupported, "the plugin "+name+" could not be run", "try it with `age`").Because(err)
	case out.Failed == "missing":
		return out, fault.New(fault.NotSupported, "the program "+name+" is not there", "install it where the PATH of the daemon leads (zavhoz stop ends a daemon with an older PATH)")
	case out.Failed == "identity":
		return out, age.ErrIncorrectIdentity
	case out.Failed == "asks":
		return out, fault.New(fault.NotSupported, "the plugin "+name+" asks for something, such as a PIN, and nobody is there to answer", "run this on a terminal of your own").Because(keyring.ErrAsks)
	case out.Failed != "":
		return out, fault.New(fault.NotSupported, "the plugin "+name+" did not do its part", "see whether it is plugged in, and whether what was typed is right; try it with `age`")
	}
	return out, nil
}

// ownChild is this program once more, for what is better not done in the process that holds the keys: it inherits env alone.
func ownChild(ctx context.Context, env []string, words ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, words...)
	cmd.Env, cmd.WaitDelay = env, time.Second
	return cmd, nil
}

// consult asks a child in JSON and wipes both texts.
func consult(cmd *exec.Cmd, ask, out any) error {
	in, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	defer clear(in)
	answer, err := exchange(cmd, in)
	defer clear(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// exchange gives the child its message and reads the answer, up to a bound.
func exchange(cmd *exec.Cmd, in []byte) ([]byte, error) {
	w, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	r, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_, werr := w.Write(in)
	answer, rerr := io.ReadAll(io.LimitReader(r, pluginOutput+1))
	err = errors.Join(werr, w.Close(), rerr)
	if len(answer) > pluginOutput {
		err = errors.Join(err, errors.New("too long an answer"), cmd.Process.Kill())
	}
	return answer, errors.Join(err, cmd.Wait())
}

// pluginEnv is all that a plugin inherits: where things are.
func pluginEnv() (env []string) {
	for _, name := range []string{"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR", "TERM", "XDG_RUNTIME_DIR", "SystemRoot", "LOCALAPPDATA", "APPDATA"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// pluginName is the program of a recipient's or identity's text.
func pluginName(text string) string {
	name, _, err := plugin.ParseRecipient(text)
	if err != nil {
		name, _, err = plugin.ParseIdentity(text)
	}
	if err != nil {
		return "age-plugin-…"
	}
	return "age-plugin-" + name
}

// newKeyPlugin is the child.
func newKeyPlugin(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "plugin", Short: "Speak to an age plugin, for another zavhoz", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			harden() // a file key passes through
			var ask pluginAsk
			if err := json.NewDecoder(io.LimitReader(a.stdin, pluginOutput)).Decode(&ask); err != nil {
				return fault.New(fault.InvalidArgument, "this is for zavhoz itself", "")
			}
			return json.NewEncoder(a.stdout).Encode(a.speak(cmd.Context(), ask))
		},
	}
}

func (a *app) speak(ctx context.Context, ask pluginAsk) (out pluginAnswer) {
	asked := false
	ui := nobodyUI(&asked)
	if ask.Person {
		ui = a.personUI(ctx)
	}
	var err error
	if ask.FileKey != nil {
		var r *plugin.Recipient
		if r, err = plugin.NewRecipient(ask.Text, ui); err == nil {
			out.Stanzas, out.Labels, err = r.WrapWithLabels(ask.FileKey)
		}
	} else {
		var i *plugin.Identity
		if i, err = plugin.NewIdentity(ask.Text, ui); err == nil {
			out.FileKey, err = i.Unwrap(ask.Stanzas)
		}
	}
	switch {
	case err == nil:
	case errors.As(err, new(*plugin.NotFoundError)):
		out.Failed = "missing"
	case asked:
		out.Failed = "asks"
	case errors.Is(err, age.ErrIncorrectIdentity):
		out.Failed = "identity"
	default:
		out.Failed = "other" // its own words may hold anything
	}
	return out
}
