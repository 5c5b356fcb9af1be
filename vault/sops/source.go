package sops

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

const (
	retryAfter = 5 * time.Second        // a broken file is tried again although it is the same: the vault may be unlocked meanwhile
	racyWithin = 100 * time.Millisecond // a file changed just before it was read may change again within one tick of its clock
)

// FileSpec is one file of a source.
type FileSpec struct {
	Path    string
	Project string // of dotenv and INI files; "" for "default"
}

// SourceOptions are what NewSource takes.
type SourceOptions struct {
	Files []FileSpec
	Codec *Codec
	// Identities gives what may unwrap data keys, at each reading and write; an error (vault_locked) is the state of the file then.
	Identities func(context.Context) ([]age.Identity, error)
	Changed    func()           // called after a set was swapped in, without a lock held; may be nil
	Now        func() time.Time // nil for time.Now
	// At is called before each thing that a write does to the disk (temp, write, mode, sync, rename, take, folder), which its error stops there, as a full disk
	// does: for tests. May be nil.
	At func(step string) error
}

// State is how a file of a source stands.
type State struct {
	Path     string
	LoadedAt time.Time    // of the set in force; zero where there never was one
	Entries  int          // resources and projects' secrets in force
	Problems []Problem    // entries that are not used
	Err      *fault.Error // why the file as it is now is not in force; nil if it is
	Since    time.Time    // of Err
}

// Source is a home of secrets made of SOPS files. It may be used by many goroutines.
type Source struct {
	o     SourceOptions
	files []*live

	mu  sync.RWMutex // held to read while View runs: a set is wiped when nobody looks at it any more
	all Set          // of all files, problems of duplicates included
}

// live is one file. Its fields but set belong to whoever holds busy.
type live struct {
	spec   FileSpec
	busy   sync.Mutex
	seen   identity // of the last file that was read, whatever came of it
	readAt time.Time
	sum    [sha256.Size]byte // of the content in force
	loaded bool

	modified time.Time // of the content in force, by its own word
	wrote    []written // by us, of late: what another program may undo unknowingly
	undone   []Undone  // of that, and not yet asked for

	state State // under Source.mu
	set   Set   // under Source.mu
}

// NewSource reads all files once. A file that cannot be read is a State, not an error of NewSource.
func NewSource(ctx context.Context, o SourceOptions) (*Source, error) {
	if len(o.Files) == 0 || o.Codec == nil || o.Identities == nil {
		return nil, fault.New(fault.InvalidArgument, "a SOPS source has at least one file", "name it in the configuration")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.At == nil {
		o.At = noStep
	}
	s := &Source{o: o}
	for _, f := range o.Files {
		if slices.ContainsFunc(s.files, func(l *live) bool { return l.spec.Path == f.Path }) {
			return nil, fault.New(fault.InvalidArgument, "the file "+home.Quote(f.Path)+" is named twice", "")
		}
		s.files = append(s.files, &live{spec: f, state: State{Path: f.Path}})
	}
	s.Refresh(ctx)
	return s, ctx.Err()
}

// View shows fn the set in force. Values live until fn returns: keep clones. A change that comes meanwhile waits for fn.
func (s *Source) View(fn func(Set) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return fn(s.all)
}

// States tells how each file stands.
func (s *Source) States() (out []State) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, l := range s.files {
		out = append(out, l.state)
	}
	return out
}

// Sum names the content of a file that is in force, by a part of its SHA-256; "" where none is.
func (s *Source) Sum(path string) string {
	for _, l := range s.files {
		if l.spec.Path != path {
			continue
		}
		l.busy.Lock()
		defer l.busy.Unlock()
		if l.loaded {
			return hex.EncodeToString(l.sum[:8])
		}
	}
	return ""
}

// Close wipes the set. Run has ended before.
func (s *Source) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.files {
		l.set.Wipe()
		l.set, l.loaded = Set{}, false
		l.forget()
	}
	s.all = Set{}
}

// Refresh takes in what changed, and tells whether anything did. A file that did not costs one look at its name.
func (s *Source) Refresh(ctx context.Context) bool {
	changed := false
	for _, l := range s.files {
		if s.refresh(ctx, l, false) {
			changed = true
		}
	}
	if changed && s.o.Changed != nil {
		s.o.Changed()
	}
	return changed
}

// refresh looks at one file, and reads it if it is another than before.
func (s *Source) refresh(ctx context.Context, l *live, force bool) bool {
	l.busy.Lock()
	defer l.busy.Unlock()
	now := s.o.Now()
	id, err := look(l.spec.Path)
	if err != nil {
		return s.fail(l, err, now)
	}
	racy := id.changed().Add(racyWithin).After(l.readAt)
	s.mu.RLock()
	broken := l.state.Err != nil
	s.mu.RUnlock()
	if id == l.seen && !force && !(racy && now.Sub(l.readAt) >= racyWithin) && !(broken && now.Sub(l.readAt) >= retryAfter) {
		return false
	}
	f, err := readFile(l.spec.Path)
	if errors.Is(err, errMoving) {
		return false // half of a write: the next look tells
	}
	l.seen, l.readAt = id, now
	if err != nil {
		return s.fail(l, err, now)
	}
	l.seen = f.id
	sum := sha256.Sum256(f.data)
	if l.loaded && sum == l.sum {
		s.mu.Lock()
		l.state.Err, l.state.Since = nil, time.Time{}
		s.mu.Unlock()
		return broken
	}
	set, err := s.load(ctx, l, f.data, now)
	if err != nil {
		return s.fail(l, err, now)
	}
	l.sum, l.loaded = sum, true
	s.swap(l, set, now)
	return true
}

func (s *Source) load(ctx context.Context, l *live, data []byte, now time.Time) (Set, error) {
	ids, err := s.o.Identities(ctx)
	if err != nil {
		return Set{}, err
	}
	info, tree, err := s.o.Codec.Open(ctx, l.spec.Path, data, ids)
	defer tree.Wipe()
	if err != nil {
		return Set{}, err
	}
	l.compare(data, info, tree, now)
	l.modified = modified(info)
	set, err := ReadLayout(tree, info.Format, l.spec.Path, l.spec.Project)
	for i := range set.Entries {
		set.Entries[i].Proof.Loose = info.Rules.MACOnly
	}
	return set, err
}

// fail leaves the last good set in force and says why the file is not. It tells whether that is news.
func (s *Source) fail(l *live, err error, now time.Time) bool {
	why := fault.Of(err)
	if why.Code == fault.Canceled {
		l.seen = identity{} // we were told to stop: nothing is known of the file
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := l.state.Err
	l.state.Err = why
	if before != nil && before.Code == why.Code && before.Message == why.Message {
		return false
	}
	l.state.Since = now
	return true
}

// swap puts a file's new set in force. The old one is wiped: nobody looks at it while the lock is held.
func (s *Source) swap(l *live, set Set, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.set.Wipe()
	l.set = set
	l.state = State{Path: l.spec.Path, LoadedAt: now, Entries: usable(set), Problems: set.Problems}
	s.all = Set{}
	for _, f := range s.files {
		s.all.Entries = append(s.all.Entries, f.set.Entries...)
		s.all.Secrets = append(s.all.Secrets, f.set.Secrets...)
		s.all.Problems = append(s.all.Problems, f.set.Problems...)
	}
	s.all.unshare()
}

// usable counts what of a set is in force.
func usable(s Set) int {
	n := len(s.Secrets)
	for _, e := range s.Entries {
		if e.Problem == nil {
			n++
		}
	}
	return n
}
