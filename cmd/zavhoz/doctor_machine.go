package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/web/api"
)

// machine is where doctor looks at the machine; tests give it a made-up one.
type machine struct {
	root string // "" for this one: /proc and /sys below it
}

// warn adds a check that nothing is broken by: fine is what holds, lost what does not; "" for nothing.
func (f *findings) warn(name, fine, lost, next string) {
	c := check{Name: name, OK: true, Note: fine}
	if lost != "" {
		c.Note, c.Next, c.Warning = lost, next, true
	}
	f.Checks = append(f.Checks, c)
}

// examineReaders tells who else than this user could read what lies in the home, or put something else there: by lists of access, which modes do not show, and by the
// folders that hold it.
func (f *findings) examineReaders(dir home.Dir) {
	var lost []string
	journal := bolt.JournalPath(dir.Vault())
	for _, name := range []string{dir.Path(), dir.Vault(), journal, dir.Store(), dir.Identity(), dir.Config(), dir.Log()} {
		if hasACL(name) {
			lost = append(lost, filepath.Base(name)+" has a list of access beside its mode")
		}
	}
	for _, name := range []string{dir.Vault(), journal, dir.Store(), dir.Log(), dir.Config()} {
		if st, err := os.Lstat(name); err == nil && wider(st) {
			lost = append(lost, filepath.Base(name)+" can be read by others than you")
		}
	}
	for at := filepath.Dir(dir.Path()); ; at = filepath.Dir(at) {
		if who := changeable(at); who != "" {
			lost = append(lost, "the folder "+at+" "+who+", who could put another home in the place of yours")
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	f.warn("readers", "no other user reads the home, or could put another in its place", strings.Join(lost, "; "), "setfacl -b and chmod 600 on the files, chmod go-w on the folders")
}

// examineMachine tells where what is in memory may come to lie on a disk, and who may look into processes.
func (f *findings) examineMachine(m machine) {
	for _, c := range m.memory() {
		f.warn(c.name, c.fine, c.lost, c.fix)
	}
}

// finding is what a look at the machine gives, in the words of warn.
type finding struct{ name, fine, lost, fix string }

// examineNeighbours tells the truth about a shared uid.
func (f *findings) examineNeighbours(s *api.Status, system bool, sources []string) {
	n := neighbours{apart: system, presence: s.PresenceBy, sources: sources}
	if system {
		f.warn("shared uid", "the daemon is a service of the system: no agent has its uid", "", "")
		return
	}
	lost := "agents that you start have your uid: of such an agent's own shell it is true that " + strings.Join(n.loses(), "; ")
	if keeps := n.keeps(); keeps != "" {
		lost += "; but " + keeps
	}
	f.warn("shared uid", "", lost, strings.Join(n.remedies(), "; "))
}
