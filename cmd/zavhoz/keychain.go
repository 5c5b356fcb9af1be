package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	oskeyring "github.com/zalando/go-keyring"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// The system's keyring is asked in a child, as plugins are: its library waits for a prompt without end, and speaks to programs and sockets that the daemon need not
// know. One message goes each way, over pipes; the child is ended when its time is over.

// keychainService is the name under which the system's keyring keeps what is ours; accounts are vaults' ids.
const keychainService = "zavhoz"

// Times that the system's keyring may take.
const (
	keychainAlone  = 20 * time.Second // where it is locked it shows a prompt, which nobody may see
	keychainPerson = 3 * time.Minute
)

// systemKeyring is the keyring of the user's session: the Secret Service, macOS's Keychain, Windows's Credential Manager.
type systemKeyring struct{ person bool }

type keychainAsk struct {
	Act     string `json:"act"` // get, set, delete
	Account string `json:"account"`
	Secret  []byte `json:"secret,omitempty"`
}

type keychainAnswer struct {
	Secret []byte `json:"secret,omitempty"`
	Failed string `json:"failed,omitempty"` // missing, other
}

// Get gives what is kept for an account. Errors: fault secret_missing, not_supported, timed_out.
func (k systemKeyring) Get(ctx context.Context, account string) (secret.Secret, error) {
	out, err := k.talk(ctx, keychainAsk{Act: "get", Account: account})
	return secret.New(out.Secret), err
}

// Set keeps s for an account. The caller wipes s.
func (k systemKeyring) Set(ctx context.Context, account string, s secret.Secret) error {
	_, err := k.talk(ctx, keychainAsk{Act: "set", Account: account, Secret: s.Reveal()})
	return err
}

// Delete forgets what is kept for an account.
func (k systemKeyring) Delete(ctx context.Context, account string) error {
	_, err := k.talk(ctx, keychainAsk{Act: "delete", Account: account})
	return err
}

func (k systemKeyring) talk(ctx context.Context, ask keychainAsk) (out keychainAnswer, err error) {
	limit := keychainAlone
	if k.person {
		limit = keychainPerson
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd, err := ownChild(ctx, keychainEnv(), "key", "keychain")
	if err != nil {
		return out, err
	}
	err = consult(cmd, ask, &out)
	switch {
	case ctx.Err() != nil:
		return out, fault.New(fault.TimedOut, "the system's keyring did not answer in time", "unlock it in your session, then try again").Because(ctx.Err())
	case err != nil:
		return out, fault.New(fault.NotSupported, "the system's keyring could not be asked", "see docs/unlocking.md").Because(err)
	case out.Failed == "missing":
		return out, fault.New(fault.SecretMissing, "the system's keyring holds no key of this vault", "give it: `zavhoz unlock --identity FILE`")
	case out.Failed != "":
		return out, fault.New(fault.NotSupported, "the system's keyring does not answer: there is none in this session, or it is locked", "log in to the desktop session, or choose another source: unlock: in config.yaml")
	}
	return out, nil
}

// keychainEnv is all that the child inherits: where the session is.
func keychainEnv() (env []string) {
	for _, name := range []string{"PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "SystemRoot", "LOCALAPPDATA", "APPDATA", "USERPROFILE"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// newKeyKeychain is the child.
func newKeyKeychain(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "keychain", Short: "Speak to the system's keyring, for another zavhoz", Args: cobra.NoArgs, Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			harden() // a key passes through
			var ask keychainAsk
			if err := json.NewDecoder(io.LimitReader(a.stdin, pluginOutput)).Decode(&ask); err != nil {
				return fault.New(fault.InvalidArgument, "this is for zavhoz itself", "")
			}
			defer clear(ask.Secret)
			return json.NewEncoder(a.stdout).Encode(ask.answer())
		},
	}
}

func (k keychainAsk) answer() (out keychainAnswer) {
	var err error
	switch k.Act {
	case "get":
		var text string
		text, err = oskeyring.Get(keychainService, k.Account)
		out.Secret = []byte(text)
	case "set":
		err = oskeyring.Set(keychainService, k.Account, string(k.Secret))
	case "delete":
		err = oskeyring.Delete(keychainService, k.Account)
	default:
		err = errors.ErrUnsupported
	}
	switch {
	case err == nil:
	case errors.Is(err, oskeyring.ErrNotFound):
		out.Failed = "missing"
	default:
		out.Failed = "other" // its own words may hold anything
	}
	return out
}
