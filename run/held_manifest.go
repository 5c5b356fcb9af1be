package run

import (
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// The list of what is held lies beside the layers, for a daemon that comes after this one. An agent's shell may have our user: what a person keeps must be what a
// person is shown, so the list bears a MAC under a key of the vault's, and names the digest of every file. A list of another run, or an older one of this, that was
// put back shows what it holds, and keeps nothing else.

const (
	shelfFormat  = 1
	shelfLabel   = "shelf 1" // of the MAC
	manifestName = "changes"

	stateOpen = "open" // the run is under way: what its layers hold is listed when it has ended
	stateHeld = "held"

	maxManifest = 256 << 20 // bytes
)

// manifest is the list: a line with the MAC in hexadecimal, then this as JSON.
type manifest struct {
	Format  int             `json:"format"`
	State   string          `json:"state"`
	RunID   string          `json:"run_id"`
	Before  []string        `json:"before,omitempty"`
	Actor   audit.ActorType `json:"actor"`
	ActorID string          `json:"actor_id"`
	Agent   string          `json:"agent"`
	Command []string        `json:"command"`
	Until   time.Time       `json:"until"`
	Layers  []sandbox.Layer `json:"layers"`
	Changes []listed        `json:"changes"` // of an open run: those that it went on from
}

// listed is a change whose names are bytes: a file's name need not be text.
type listed struct {
	sandbox.Change
	Path   []byte `json:"path"` // base64
	Target []byte `json:"target,omitempty"`
}

func (h *Held) manifest(state string) manifest {
	m := manifest{
		Format: shelfFormat, State: state, RunID: h.RunID, Before: h.Before, Actor: h.actor, ActorID: h.who, Agent: h.Agent, Command: h.Command, Until: h.Until.UTC(), Layers: h.layers,
		Changes: make([]listed, len(h.Changes)),
	}
	for i, c := range h.Changes {
		m.Changes[i] = listed{c, []byte(c.Path), []byte(c.Target)}
	}
	return m
}

func (m manifest) held(name string) *Held {
	h := &Held{
		RunID: m.RunID, Before: m.Before, Agent: m.Agent, Command: m.Command, Until: m.Until, Lasting: true, actor: m.Actor, who: m.ActorID, name: name, layers: m.Layers,
	}
	changes := make([]sandbox.Change, len(m.Changes))
	for i, c := range m.Changes {
		changes[i] = c.Change
		changes[i].Path, changes[i].Target = string(c.Path), string(c.Target)
	}
	h.take(changes)
	return h
}

// seal writes the list, whole or not at all. It runs under the shelf's mu.
func (e *Engine) seal(h *Held, state string) error {
	if e.o.Shelf == "" {
		return nil
	}
	text, err := json.Marshal(h.manifest(state))
	if err != nil {
		return err
	}
	mac := e.o.MAC(shelfLabel, text)
	dir := e.shelf.path(h)
	f, err := os.OpenFile(filepath.Join(dir, manifestName+".new"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, hex.EncodeToString(mac[:])+"\n"+string(text)+"\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, manifestName))
}

// errForged is what a list gives that is not ours.
var errForged = errors.New("run: a list of held changes does not bear the vault's mark")

// readManifest reads what is held in a folder of the shelf. What is checked is what was opened.
func (e *Engine) readManifest(root *os.Root, name string) (*Held, string, error) {
	st, err := root.Lstat(name)
	if err != nil {
		return nil, "", err
	}
	if !st.IsDir() || !ours(st) {
		return nil, "", errForged
	}
	at := filepath.Join(name, manifestName)
	if st, err = root.Lstat(at); err != nil {
		return nil, "", err
	}
	if !st.Mode().IsRegular() { // a Root follows links that stay within it
		return nil, "", errForged
	}
	f, err := root.OpenFile(at, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	if st, err = f.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() > maxManifest {
		return nil, "", errForged
	}
	b, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return nil, "", err
	}
	mark, text, _ := strings.Cut(string(b), "\n")
	text = strings.TrimSuffix(text, "\n")
	sum, err := hex.DecodeString(mark)
	if want := e.o.MAC(shelfLabel, []byte(text)); err != nil || !hmac.Equal(sum, want[:]) {
		return nil, "", errForged
	}
	return parseManifest(text, name)
}

// parseManifest reads a list that bears the mark: the mark says that we wrote it, not where it lies now.
func parseManifest(text, name string) (*Held, string, error) {
	var m manifest
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return nil, "", errForged
	}
	if m.Format != shelfFormat {
		return nil, "", fault.New(fault.VaultFormat, "changes are held in a format of a later release", "run that release")
	}
	first := m.RunID
	if len(m.Before) > 0 {
		first = m.Before[0]
	}
	if first != name || m.State != stateOpen && m.State != stateHeld {
		return nil, "", errForged
	}
	return m.held(name), m.State, nil
}
