package sops

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// looker counts the looks of a watch over one path.
func looker(t *testing.T, path string, every time.Duration) (looks *atomic.Int64, wake chan struct{}) {
	t.Helper()
	looks, wake = &atomic.Int64{}, make(chan struct{})
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { Watch(ctx, []string{path}, every, wake, func() { looks.Add(1) }) })
	t.Cleanup(func() { stop(); wg.Wait() })
	rises(t, looks, 0, "the first look")
	return looks, wake
}

func rises(t *testing.T, looks *atomic.Int64, above int64, what string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); looks.Load() <= above; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: nobody looked", what)
		}
	}
}

func do(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// quiet waits until the looks that a notice brings are over.
func quiet(t *testing.T, looks *atomic.Int64) int64 {
	t.Helper()
	for n := looks.Load(); ; {
		time.Sleep(lookAgain + 4*noticeLag)
		if now := looks.Load(); now == n {
			return n
		} else {
			n = now
		}
	}
}

// The system tells of a change however it is made, with an hour between two looks of the watch's own: in place, by a rename, through a link that is set anew, in a
// folder that was not there, and in one that took another's name.
func TestWatchIsTold(t *testing.T) {
	dir := t.TempDir()
	home, other := filepath.Join(dir, "home"), filepath.Join(dir, "other")
	do(t, os.Mkdir(home, 0o700), os.Mkdir(other, 0o700))
	file, link := filepath.Join(other, "secrets.yaml"), filepath.Join(home, "link.yaml")
	do(t, os.WriteFile(file, []byte("a"), 0o600), os.Symlink(file, link))
	looks, wake := looker(t, link, time.Hour)
	for _, c := range []struct {
		what   string
		change func() error
	}{
		{"written in place", func() error { return os.WriteFile(file, []byte("b"), 0o600) }},
		{"replaced by a rename", func() error {
			do(t, os.WriteFile(file+".new", []byte("c"), 0o600))
			return os.Rename(file+".new", file)
		}},
		{"another mode", func() error { return os.Chmod(file, 0o640) }},
		{"removed", func() error { return os.Remove(file) }},
		{"there again", func() error { return os.WriteFile(file, []byte("d"), 0o600) }},
		{"the link leads elsewhere", func() error {
			do(t, os.WriteFile(filepath.Join(dir, "third.yaml"), nil, 0o600), os.Symlink(filepath.Join(dir, "third.yaml"), link+".new"))
			return os.Rename(link+".new", link)
		}},
		{"written where the link leads now", func() error { return os.WriteFile(filepath.Join(dir, "third.yaml"), []byte("e"), 0o600) }},
	} {
		before := quiet(t, looks)
		do(t, c.change())
		rises(t, looks, before, c.what)
	}
	before := quiet(t, looks)
	wake <- struct{}{}
	rises(t, looks, before, "woken")
}

// A folder that is not there, or that took the place of the watched one, is found by looking, and watched from then on.
func TestWatchFindsTheFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	path := filepath.Join(dir, "secrets.yaml")
	looks, _ := looker(t, path, 0)
	rises(t, looks, 3, "a folder that is not there is looked for often")
	w := newWatch([]string{path})
	defer w.close()
	if w.renew(); !w.blind {
		t.Error("of a folder that is not there it is told everything")
	}
	do(t, os.Mkdir(dir, 0o700))
	w.renew()
	first, watched := w.folders[dir]
	do(t, os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o700))
	w.renew()
	if second := w.folders[dir]; !watched || second == nil || os.SameFile(first, second) {
		t.Errorf("a folder of the same name is not watched: %v %v", first, second)
	}
	do(t, os.WriteFile(path, nil, 0o600))
	<-w.told()
}
