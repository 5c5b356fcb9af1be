package sops

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// sops takes no lock, and looks at nothing before it writes: what it writes is what it read, with a change. A write of ours in between is undone by it, and nobody
// sees that. But what it left alone has the same ciphertext as before: so a file in which a ciphertext stands again that we replaced was made of the file before ours,
// while one that a person set back has a new one, and a file that was put back as a whole has its former MAC.
const (
	rememberFor  = time.Hour        // an editor of sops may stay open for long
	addedWithin  = 10 * time.Second // of an entry that was added nothing stands again: one that is missing so soon was not taken out by a person
	rememberMost = 64               // writes of a file
)

// written is one write of ours.
type written struct {
	at      time.Time
	changes []wire.Change   // clones
	gone    map[string]bool // ciphertexts that it replaced or took out, of before we wrote there at all
	fresh   map[string]bool // and those that it put there
	before  string          // MAC of the file that it was made of
	after   string          // and of what it made
	from    time.Time       // when, by its own word, the file that it was made of was written
}

// Undone is a change of ours that is not in a file any more, because another program had read the file before. Its receiver wipes it.
type Undone struct {
	Path    string // of the file
	Changes []wire.Change
}

// Wipe overwrites its values.
func (u Undone) Wipe() {
	for _, c := range u.Changes {
		c.Value.Wipe()
	}
}

// Undone gives the changes that were found to be undone since it was asked last, each once, in the order in which they were written.
func (s *Source) Undone() (out []Undone) {
	for _, l := range s.files {
		l.busy.Lock()
		out, l.undone = append(out, l.undone...), nil
		l.busy.Unlock()
	}
	return out
}

// remember keeps a write until nobody can undo it unknowingly any more. One that changes the same place again is in the place of the former.
func (l *live) remember(now time.Time, before, after []byte, changes []wire.Change) {
	l.busy.Lock()
	defer l.busy.Unlock()
	w := written{at: now, gone: ciphertexts(before), fresh: ciphertexts(after), before: macOf(before), after: macOf(after), from: l.modified}
	for c := range w.gone {
		if w.fresh[c] || c == w.before {
			delete(w.gone, c)
			delete(w.fresh, c)
		}
	}
	for _, c := range changes {
		w.changes = append(w.changes, wire.Change{Path: slices.Clone(c.Path), Unset: c.Unset, Value: c.Value.Clone()})
	}
	l.wrote = slices.DeleteFunc(l.wrote, func(old written) bool {
		over := old.crosses(w) || now.Sub(old.at) > rememberFor
		if over {
			maps.DeleteFunc(w.gone, func(c string, _ bool) bool { return old.fresh[c] })
			maps.Copy(w.gone, old.gone)
			w.from = old.from
			old.wipe()
		}
		return over
	})
	l.wrote = append(l.wrote, w)
	if n := len(l.wrote) - rememberMost; n > 0 {
		for _, old := range l.wrote[:n] {
			old.wipe()
		}
		l.wrote = slices.Delete(l.wrote, 0, n)
	}
}

func (w written) wipe() { Undone{Changes: w.changes}.Wipe() }

// crosses tells whether two writes concern one place of the file.
func (w written) crosses(o written) bool {
	for _, a := range w.changes {
		for _, b := range o.changes {
			n := min(len(a.Path), len(b.Path))
			if slices.Equal(a.Path[:n], b.Path[:n]) {
				return true
			}
		}
	}
	return false
}

// compare finds what of our writes a file that was just read has undone. busy is held.
func (l *live) compare(data []byte, info wire.Info, tree wire.Tree, now time.Time) {
	if len(l.wrote) == 0 {
		return
	}
	mac, at := macOf(data), modified(info)
	if l.wrote[len(l.wrote)-1].after == mac {
		return // our own
	}
	if slices.ContainsFunc(l.wrote, func(w written) bool { return w.before == mac || w.after == mac || at.Before(w.from) }) {
		l.forget() // a former file, put back as a whole: somebody means it
		return
	}
	have := ciphertexts(data)
	l.wrote = slices.DeleteFunc(l.wrote, func(w written) bool {
		if now.Sub(w.at) > rememberFor {
			w.wipe()
			return true
		}
		if !w.undoneBy(have, tree, now) {
			return false
		}
		l.undone = append(l.undone, Undone{Path: l.spec.Path, Changes: w.changes})
		return true
	})
}

// modified is when a file says that it was written, to the second.
func modified(info wire.Info) time.Time {
	t, err := time.Parse(time.RFC3339, info.LastModified)
	if err != nil {
		return time.Time{}
	}
	return t
}

// undoneBy tells whether a file was made of the one before the write.
func (w written) undoneBy(have map[string]bool, tree wire.Tree, now time.Time) bool {
	for c := range w.gone {
		if have[c] {
			return true
		}
	}
	if len(w.gone) > 0 || now.Sub(w.at) > addedWithin {
		return false
	}
	return slices.ContainsFunc(w.changes, func(c wire.Change) bool { return !c.Unset && !holds(tree, c.Path) })
}

// holds tells whether a file's first document has something at a path.
func holds(tree wire.Tree, path []string) bool {
	if len(tree.Documents) == 0 {
		return false
	}
	n := tree.Documents[0]
	for _, key := range path {
		var there bool
		if n, there = n.Get(key); !there {
			return false
		}
	}
	return true
}

// forget drops what is remembered of writes. busy is held, or nobody else is at work.
func (l *live) forget() {
	for _, w := range l.wrote {
		w.wipe()
	}
	for _, u := range l.undone {
		u.Wipe()
	}
	l.wrote, l.undone = nil, nil
}

const encMark = "ENC[AES256_GCM,"

// ciphertexts gives the encrypted values of a file, its MAC among them.
func ciphertexts(file []byte) map[string]bool {
	out := map[string]bool{}
	for {
		_, rest, found := bytes.Cut(file, []byte(encMark))
		if !found {
			return out
		}
		end := bytes.IndexByte(rest, ']')
		if end < 0 {
			return out
		}
		out[string(rest[:end])] = true
		file = rest[end:]
	}
}

// macOf gives the MAC of a file, as it stands there encrypted; "" where none is found. It is the last of that name, in every format.
func macOf(file []byte) string {
	for at := len(file); ; {
		if at = bytes.LastIndex(file[:at], []byte("mac")); at < 0 {
			return ""
		}
		head, rest, found := strings.Cut(string(file[at+len("mac"):min(len(file), at+4096)]), encMark)
		if found && strings.Trim(head, " \t\"':=") == "" {
			mac, _, _ := strings.Cut(rest, "]")
			return mac
		}
	}
}
