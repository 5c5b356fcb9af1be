package sops

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	slowLook  = 5 * time.Second        // for what the system did not tell
	quickLook = 250 * time.Millisecond // where it tells nothing: a change is in force within a second all the same
	noticeLag = 40 * time.Millisecond  // after a notice: who writes in place has mostly ended by then, and a busy folder costs a look each
	lookAgain = 250 * time.Millisecond // after a look that followed a notice: the file's own clock has ticked
)

// Watch calls look at once, again soon after something happened in a folder of one of the files, whenever wake says so, and every few seconds in any case, until ctx
// ends. Folders are watched, not files: whoever replaces a file by a rename leaves the watched one behind. Where the system tells of no changes (a network's file
// system, too many watches), it looks four times a second. every is in the place of both times; 0 for them.
func Watch(ctx context.Context, paths []string, every time.Duration, wake <-chan struct{}, look func()) {
	w := newWatch(paths)
	defer w.close()
	pause := func() time.Duration {
		switch {
		case every > 0:
			return every
		case w.blind:
			return quickLook
		}
		return slowLook
	}
	see := func() {
		w.renew() // before the look: what changes after it is told
		look()
	}
	see()
	tick := time.NewTimer(pause())
	defer tick.Stop()
	var soon, again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
			see()
		case <-tick.C:
			see()
			tick.Reset(pause())
		case <-w.told(): // or it told of more than it could hold
			if soon == nil {
				soon = time.After(noticeLag)
			}
		case <-soon:
			see()
			soon, again = nil, time.After(lookAgain)
		case <-again:
			see()
			again = nil
		}
	}
}

// watch is what the system is asked to tell.
type watch struct {
	paths   []string
	notify  *fsnotify.Watcher      // nil: the system has none left
	news    chan struct{}          // one is enough: what happened, the look tells
	ended   chan struct{}          // closed when nothing is told any more
	folders map[string]fs.FileInfo // that are watched, as they were then
	blind   bool                   // of one of the files nothing, or not all, is told
}

func newWatch(paths []string) *watch {
	w := &watch{paths: paths, news: make(chan struct{}, 1), ended: make(chan struct{}), folders: map[string]fs.FileInfo{}}
	var err error
	if w.notify, err = fsnotify.NewWatcher(); err != nil {
		w.notify = nil
		close(w.ended)
		return w
	}
	go w.listen()
	return w
}

// listen takes whatever the system tells, so that its queue never fills up behind a look. It ends with close, which waits for it.
func (w *watch) listen() {
	defer close(w.ended)
	for {
		select {
		case _, open := <-w.notify.Events:
			if !open {
				return
			}
		case _, open := <-w.notify.Errors: // an overflow: anything may have happened
			if !open {
				return
			}
		}
		select {
		case w.news <- struct{}{}:
		default:
		}
	}
}

func (w *watch) told() <-chan struct{} { return w.news }

func (w *watch) close() {
	if w.notify != nil {
		_ = w.notify.Close()
	}
	<-w.ended
}

// renew watches the folders that the files lie in now: a link may lead elsewhere than before, and a folder may be another of the same name.
func (w *watch) renew() {
	if w.blind = w.notify == nil; w.blind {
		return
	}
	want := map[string]bool{}
	for _, path := range w.paths {
		folders, sure := foldersOf(path)
		w.blind = w.blind || !sure
		for _, dir := range folders {
			want[dir] = true
		}
	}
	for dir, was := range w.folders {
		if now, err := os.Stat(dir); !want[dir] || err != nil || !os.SameFile(was, now) {
			_ = w.notify.Remove(dir)
			delete(w.folders, dir)
		}
	}
	for dir := range want {
		if _, watched := w.folders[dir]; !watched && !w.add(dir) {
			w.blind = true
		}
	}
}

func (w *watch) add(dir string) bool {
	st, err := os.Stat(dir)
	if err != nil || w.notify.Add(dir) != nil {
		return false
	}
	w.folders[dir] = st
	return true
}

// foldersOf gives the folders in which a name on the way to a file may change. It is not sure of them where a folder on the way is a link itself, or lies where the
// system may not tell what others do.
func foldersOf(path string) (out []string, sure bool) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, false
	}
	sure = true
	for range maxLinks {
		dir := filepath.Dir(path)
		if !slices.Contains(out, dir) {
			out = append(out, dir)
		}
		real, err := filepath.EvalSymlinks(dir)
		sure = sure && err == nil && real == dir && tells(dir)
		to, err := os.Readlink(path)
		if err != nil {
			return out, sure
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(dir, to)
		}
		path = filepath.Clean(to)
	}
	return out, false
}
