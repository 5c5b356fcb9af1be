package main

import (
	"context"

	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/web/api"
)

// neighbours is what decides how much an agent's own shell can do here: whether it has the daemon's uid, and then what proves a person's presence and what opens the vault.
type neighbours struct {
	apart    bool     // the daemon is a service of the system, with a user that no agent has
	presence string   // what proves it: passphrase, plugin, keyring; "" for nothing, unknown where no daemon could tell
	sources  []string // of unlock: in config.yaml; nil: not known
}

const unknown = "unknown"

// loses says what a shared uid costs, worst first; nothing where it is not shared.
func (n neighbours) loses() (out []string) {
	if n.apart {
		return nil
	}
	switch n.presence {
	case "":
		out = append(out, "nothing asks for your presence: it can reveal every secret (zavhoz run --open, zavhoz export), approve, and widen what agents may do")
	case unknown:
		out = append(out, "whether your presence is asked for could not be looked up (zavhoz status); where it is not, it can reveal every secret, approve and widen")
	case keyring.ByKeyring:
		out = append(out, "the keyring that proves your presence is open to it while your session is: what reveals, approves or widens is hindered, and no more")
	}
	if !(len(n.sources) == 1 && n.sources[0] == home.FromPassphrase) {
		out = append(out, "it may read the key that opens the vault, and so every secret, with a program of its own; no presence stands before that")
	}
	return append(out, "it can stop, lock and replace the daemon, see the values that your pinned commands hold while they run, and watch what you type")
}

// keeps says what is out of its reach all the same; "" for nothing.
func (n neighbours) keeps() string {
	switch {
	case n.apart:
		return "its uid is another than the daemon's: it can read neither the vault, nor the daemon, nor a run, and reaches the agents' socket alone"
	case n.presence == "" || n.presence == unknown || n.presence == keyring.ByKeyring:
		return ""
	}
	return "what reveals, approves or widens asks for your presence (" + n.presence + "), and it has not that"
}

// remedies are what mends it, the strongest first.
func (n neighbours) remedies() (out []string) {
	if n.apart {
		return nil
	}
	out = []string{"make zavhoz a service of the system, whose user no agent has (docs/install.md): that ends all of this"}
	if n.presence == "" || n.presence == unknown || n.presence == keyring.ByKeyring {
		out = append(out, "without that: zavhoz presence set, a passphrase or a hardware key")
	}
	if !(len(n.sources) == 1 && n.sources[0] == home.FromPassphrase) {
		out = append(out, "and let a passphrase alone open the vault (docs/unlocking.md)")
	}
	return out
}

// neighbours looks at a client that would be connected here; socket is a service's, "" for the home's own daemon, which is asked where it runs and not started.
func (a *app) neighbours(ctx context.Context, socket string) neighbours {
	if socket != "" {
		return neighbours{apart: othersSocket(socket), presence: unknown}
	}
	n := neighbours{presence: unknown}
	dir, err := a.dir()
	if err != nil {
		return n
	}
	if cfg, err := home.LoadConfig(dir.Config()); err == nil {
		n.sources = cfg.Unlock.Sources
	}
	var s api.Status
	if newClient(plainDial(dir.OperatorSock())).plain(ctx, "GET", path("status"), nil, &s) == nil && !s.Locked {
		n.presence = s.PresenceBy
	}
	return n
}
