// Package home is where a vault lives on a machine: the folder, the identity file, the configuration, the sockets.
//
// Promise: the folder and what lies in it are for their owner alone, and are refused with the command that mends them where they are not. Init
// makes everything or nothing: what it builds becomes visible by one rename. An error names files, lines and keys, never what a file holds.
//
// Attacks stopped: a key file that another user reads or replaces (threat-model.md 66, 22); a socket folder in /tmp that somebody else made first; secrets
// echoed by a parser's error (65).
package home

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// EnvHome names the variable that chooses the folder.
const EnvHome = "ZAVHOZ_HOME"

// maxSocket is the longest path of a unix socket that every system takes, in bytes: macOS has 104 with the final zero.
const maxSocket = 100

// Dir is a home folder. Its methods give absolute paths; they do not look whether anything is there.
type Dir struct {
	root string
	run  string // where the sockets lie
	away bool   // the vault is not a file here
}

// At is the home in a given folder.
func At(root string) (Dir, error) {
	abs, err := filepath.Abs(root)
	if err != nil || strings.ContainsRune(root, 0) {
		return Dir{}, fault.New(fault.InvalidArgument, "the home folder's path is not usable", "set "+EnvHome+" to an absolute path").Because(err)
	}
	d := Dir{root: abs, run: filepath.Join(abs, "run")}
	if len(d.OperatorSock()) > maxSocket {
		h := sha256.Sum256([]byte(abs))
		d.run = filepath.Join(shortTemp(), fmt.Sprintf("zavhoz-%d-%s", os.Getuid(), hex.EncodeToString(h[:8])))
	}
	return d, nil
}

// Locate finds the home: $ZAVHOZ_HOME, else the platform's data folder.
func Locate(getenv func(string) string) (Dir, error) {
	if root := getenv(EnvHome); root != "" {
		return At(root)
	}
	data, err := dataFolder(getenv)
	if err != nil {
		return Dir{}, fault.New(fault.NotInitialized, "the platform's data folder is not known", "set "+EnvHome+" to an absolute path").Because(err)
	}
	return At(filepath.Join(data, "zavhoz"))
}

// Path is the folder itself.
func (d Dir) Path() string { return d.root }

// Identity is the age identity file.
func (d Dir) Identity() string { return filepath.Join(d.root, "identity.txt") }

// Vault is the vault's file.
func (d Dir) Vault() string { return filepath.Join(d.root, "vault.db") }

// Away is the home of a vault that is not a file here, but in a database.
func (d Dir) Away() Dir {
	d.away = true
	return d
}

// IsAway tells whether the vault is elsewhere.
func (d Dir) IsAway() bool { return d.away }

// Store is the file that says in which database the vault is; where there is none, and no vault's file, the environment may say it.
func (d Dir) Store() string { return filepath.Join(d.root, "store") }

// Holder is the file that a daemon holds locked while it runs: the vault's, or where that is elsewhere, one for this alone.
func (d Dir) Holder() string {
	if d.away {
		return filepath.Join(d.root, "holder.lock")
	}
	return d.Vault()
}

// Config is the configuration file.
func (d Dir) Config() string { return filepath.Join(d.root, "config.yaml") }

// Lock is the file that a starting daemon locks.
func (d Dir) Lock() string { return filepath.Join(d.root, "daemon.lock") }

// Locked is the mark that the vault was locked: a daemon that finds it starts locked, for who locked it did not mean until the next start.
func (d Dir) Locked() string { return filepath.Join(d.root, "locked") }

// Log is the log of a daemon that was started by a door.
func (d Dir) Log() string { return filepath.Join(d.root, "daemon.log") }

// Run is the folder of the sockets: below the home, or where that makes a socket's path too long, a short one named after a hash of the home.
func (d Dir) Run() string { return d.run }

// AgentSock is the agents' socket.
func (d Dir) AgentSock() string { return filepath.Join(d.run, "agent.sock") }

// OperatorSock is the operator's socket.
func (d Dir) OperatorSock() string { return filepath.Join(d.run, "operator.sock") }
