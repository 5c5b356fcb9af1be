package bolt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/store/storetest"
)

// crashJournal is so small, and filed so soon, that most kills fall into a checkpoint or a replay.
var crashJournal = bolt.Journal{Slot: 96 << 10, After: 2, Within: 2 * time.Millisecond}

const (
	crashEnv  = "ZAVHOZ_TEST_CRASH_FILE"
	crashIdle = "ZAVHOZ_TEST_CRASH_IDLE" // opens, and writes nothing
)

// TestMain: with crashEnv set, this binary is the process that TestKill kills.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		fmt.Fprintln(os.Stderr, crashWriter(path, os.Getenv("ZAVHOZ_TEST_CRASH_RUN")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// crashWriter writes until it is killed, and prints each key once its Update has returned. A write is two records in two collections, and
// every third deletes what the one before it wrote.
func crashWriter(path, run string) error {
	s, err := crashJournal.Open(context.Background(), bolt.Options{Path: path})
	if err != nil {
		return err
	}
	if os.Getenv(crashIdle) != "" {
		select {}
	}
	failed := make(chan error)
	for g := range 6 {
		go func() {
			for i := 0; ; i++ {
				key, gone := fmt.Sprintf("%s-%d-%d", run, g, i), fmt.Sprintf("%s-%d-%d", run, g, i-1)
				err := s.Update(context.Background(), func(tx store.Tx) error {
					if i%3 == 2 {
						if err := errors.Join(tx.Delete("left", gone), tx.Delete("right", gone)); err != nil {
							return err
						}
					}
					return errors.Join(tx.Put("left", key, []byte(strings.Repeat(key, 1+i%150))), tx.Put("right", key, []byte(key)))
				})
				if err != nil {
					failed <- err
					return
				}
				if _, err := fmt.Println(key); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// TestKill kills a writing process again and again, at random moments; after each kill the file opens, every acknowledged write is
// there, and every Update is there wholly or not at all.
func TestKill(t *testing.T) {
	alive := watchdog(t)
	kills, acks := 20, 50
	if storetest.Long() {
		kills, acks = 200, 200
	}
	path := filepath.Join(t.TempDir(), "vault.db")
	closed(t, createAt(t, path))
	total := 0
	acknowledged := map[string]string{} // the key, and the one whose write deletes it
	for run := range kills {
		for _, key := range killed(t, path, run, 1+rand.IntN(2*acks), alive) {
			acknowledged[key] = deleter(t, key)
			total++
		}
		if run%2 == 1 { // one that is killed while it replays leaves the pair as good
			killedWhileOpening(t, path, time.Duration(rand.IntN(12_000))*time.Microsecond)
		}
		s := open(t, path)
		if err := bolt.Check(s); err != nil {
			t.Fatalf("after kill %d: %v", run, err)
		}
		checkCrash(t, s, acknowledged)
		closed(t, s)
		alive()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d writes were acknowledged over %d kills", total, kills)
}

// deleter gives the key whose write deletes key, "" where none does.
func deleter(t *testing.T, key string) string {
	t.Helper()
	var run, g, i int
	if _, err := fmt.Sscanf(key, "%d-%d-%d", &run, &g, &i); err != nil {
		t.Fatal(err)
	}
	if i%3 != 1 {
		return ""
	}
	return fmt.Sprintf("%d-%d-%d", run, g, i+1)
}

// killed runs the writer until it has acknowledged n writes, kills it, and gives every key that it acknowledged.
func killed(t *testing.T, path string, run, n int, alive func()) (keys []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashEnv+"="+path, fmt.Sprintf("ZAVHOZ_TEST_CRASH_RUN=%d", run))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill := func() { once.Do(func() { _ = cmd.Process.Kill() }) }
	defer kill()
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n') // a last line without its end was not acknowledged
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			break
		}
		alive()
		if keys = append(keys, strings.TrimSpace(line)); len(keys) == n {
			kill()
		}
	}
	_ = cmd.Wait() // killed: always an error
	if len(keys) < n {
		t.Fatalf("the writer ended by itself: %s", stderr.String())
	}
	return keys
}

// killedWhileOpening runs the writer and kills it after so long, whatever it has done by then.
func killedWhileOpening(t *testing.T, path string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashEnv+"="+path, "ZAVHOZ_TEST_CRASH_RUN=99999", crashIdle+"=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed: always an error
}

// checkCrash: an acknowledged key is there unless its successor, acknowledged or not, deleted it; both collections agree.
func checkCrash(t *testing.T, s *bolt.Store, acknowledged map[string]string) {
	t.Helper()
	left, right := map[string]bool{}, map[string]bool{}
	err := s.View(context.Background(), func(tx store.Tx) error {
		err := tx.Scan("left", "", "", func(k string, v []byte) (bool, error) {
			left[k] = true
			if strings.ReplaceAll(string(v), k, "") != "" {
				t.Errorf("%s: a strange value", k)
			}
			return true, nil
		})
		return errors.Join(err, tx.Scan("right", "", "", func(k string, v []byte) (bool, error) {
			right[k] = true
			if k != string(v) {
				t.Errorf("%s: a strange value", k)
			}
			return true, nil
		}))
	})
	if err != nil {
		t.Fatal(err)
	}
	for k := range left {
		if !right[k] {
			t.Errorf("%s: half an update", k)
		}
	}
	for k := range right {
		if !left[k] {
			t.Errorf("%s: half an update", k)
		}
	}
	for k, next := range acknowledged {
		if deleted := next != "" && left[next]; left[k] == deleted {
			t.Errorf("%s: acknowledged, there: %v, deleted by the next: %v", k, left[k], deleted)
		}
	}
}
