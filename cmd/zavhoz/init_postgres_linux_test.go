package main

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/postgres"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// initSteps is how many calls lie between two kills before the home knows where its vault will be.
var initSteps = atLength(8, 1)

// initAway is an init whose vault goes into a database.
var initAway = []string{"init", "--store", "env:ADDRESS"}

// homeless is a place whose home's vault is to be in a database, which it can be given anew.
func homeless(t *testing.T) (p *place, clear func()) {
	t.Helper()
	server := postgrestest.Start(t)
	p = newPlace(t)
	p.dir = p.dir.Away()
	p.env = append(p.env, "ADDRESS="+server.URL("sslmode=disable"))
	return p, func() {
		t.Helper()
		server.Exec(t, "DROP SCHEMA IF EXISTS zavhoz CASCADE")
		left, err := filepath.Glob(filepath.Join(filepath.Dir(p.dir.Path()), "*"))
		hidden, herr := filepath.Glob(filepath.Join(filepath.Dir(p.dir.Path()), ".h-init-*"))
		for _, name := range append(left, hidden...) {
			err = errors.Join(err, os.RemoveAll(name))
		}
		if err = errors.Join(err, herr); err != nil {
			t.Fatal(err)
		}
	}
}

// address is what the environment of the place says of the database.
func (p *place) address() string {
	for _, kv := range p.env {
		if name, value, _ := strings.Cut(kv, "="); name == "ADDRESS" {
			return value
		}
	}
	return ""
}

// tables opens what the database holds.
func (p *place) tables() *postgres.Store {
	p.t.Helper()
	o, err := postgres.Address(p.address())
	if err != nil {
		p.t.Fatal(err)
	}
	st, err := postgres.Open(p.t.Context(), o)
	if err != nil {
		p.t.Fatal(err)
	}
	return st
}

// whole opens the vault as a daemon would: by the home's identity, all of it checked, and the one that the home knows.
func (p *place) whole() {
	p.t.Helper()
	st := p.tables()
	defer st.Close()
	header, err := vault.Header(p.t.Context(), st)
	if err != nil {
		p.t.Fatal(err)
	}
	ids, err := home.LoadIdentities(p.dir.Identity())
	if err != nil {
		p.t.Fatal(err)
	}
	ring, err := keyring.Unlock(header, ids)
	if err != nil {
		p.t.Fatal(err)
	}
	defer ring.Close()
	v, err := vault.Open(p.t.Context(), vault.Options{Store: st, Keyring: ring, Verify: true})
	if err != nil {
		p.t.Fatal(err)
	}
	defer v.Close(p.t.Context())
	k, err := readKnown(p.dir)
	if err == nil {
		err = v.Recognise(p.t.Context(), k.Mark)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	if agents, err := v.ListAgents(p.t.Context()); err != nil || len(agents) != 1 || agents[0].Name != vault.LocalAgent {
		p.t.Fatalf("the agents of a new vault: %+v %v", agents, err)
	}
}

// again runs init until nobody else is at the database: the server notices late that a process was killed.
func (p *place) again() (r result) {
	p.t.Helper()
	until(p.t, "the database is free", func() bool { r = p.run("", initAway...); return r.code != 8 })
	return r
}

// led are the folders beside the home that lead to a database.
func (p *place) led() []string {
	p.t.Helper()
	led, err := filepath.Glob(filepath.Join(filepath.Dir(p.dir.Path()), ".h-init-*", "store"))
	if err != nil {
		p.t.Fatal(err)
	}
	return led
}

// bare tells that an init which names no database is refused while a folder leads to one, whatever DATABASE_URL says, and makes nothing.
func (p *place) bare() {
	p.t.Helper()
	env, led := p.env, p.led()
	for _, more := range []string{"ADDRESS=" + p.address(), "DATABASE_URL=" + p.address()} {
		p.env = append(slices.Clone(env), more)
		if r := p.run("", "init"); r.code != 4 || !strings.Contains(r.stderr, "--store") {
			p.t.Fatalf("an init without --store beside %v: %v", led, r)
		}
	}
	p.env = env
	if _, err := os.Lstat(p.dir.Path()); !errors.Is(err, fs.ErrNotExist) || !slices.Equal(p.led(), led) {
		p.t.Fatalf("an init without --store beside %v: %v, and there is %v", led, err, p.led())
	}
}

// Whenever an init with a database is killed, before any of its writes to the disk and any of its words to the server, the next one makes the vault, or finishes what the first had made.
func TestAnInitThatIsKilledIsMadeGoodByTheNext(t *testing.T) {
	t.Parallel()
	p, clear := homeless(t)
	kills, finished, named := 0, 0, 0
	for left, step := rand.IntN(initSteps), initSteps; ; left += step {
		r, w := p.watchedBy(&warden{left: left, kills: true}, initAway...)
		if r.code == 0 && len(w.denied) == 0 {
			break
		}
		if len(w.denied) == 0 {
			t.Fatalf("it failed by itself: %v", r)
		}
		kills++
		if _, err := os.Stat(p.dir.Path()); err == nil {
			named++
		} else {
			if len(p.led()) > 0 {
				step = 1 // from here on each: it is about to be made, or was
				p.bare()
			}
			r := p.again()
			if r.code != 0 {
				t.Fatalf("killed before call %d (%s), and the next init: %v", left, w.denied[0], r)
			}
			if strings.Contains(r.stdout, "an earlier init began") {
				finished++
			}
		}
		p.whole()
		if led := p.led(); len(led) > 0 {
			t.Fatalf("left behind: %v", led)
		}
		clear()
	}
	t.Logf("%d kills; %d were finished, %d had come to their end", kills, finished, named)
	if kills < 15 || finished == 0 || named == 0 {
		t.Fatalf("%d kills; %d were finished, %d had come to their end", kills, finished, named)
	}
	if r := p.run("", initAway...); r.code != 4 {
		t.Fatalf("an init of what is there: %v", r)
	}
	p.ok("status")
	p.ok("audit", "verify")
}

// On a disk that turns read-only before any write of an init, there is no vault afterwards and nothing that the next init does not clear; or all of it is there but its home's name, the next init says so and gives it that.
func TestAnInitThatFailsLeavesNothingOrAllOfIt(t *testing.T) {
	t.Parallel()
	p, clear := homeless(t)
	nothing, all := 0, 0
	for left := 0; ; left++ {
		r, w := p.denied(left, initAway...)
		if r.code == 0 && len(w.denied) == 0 {
			break
		}
		if len(w.denied) == 0 {
			t.Fatalf("it failed by itself: %v", r)
		}
		if r.code == 0 || strings.Contains(r.stderr, "something went wrong") {
			t.Fatalf("denied from call %d (%s) on: %v", left, w.denied[0], r)
		}
		stands := strings.Contains(r.stderr, "could not be put into its place")
		if stands {
			all++
		} else {
			nothing++
		}
		again := p.again()
		if again.code != 0 || strings.Contains(again.stdout, "an earlier init began") != stands {
			t.Fatalf("denied from call %d (%s) on: %v\nand then: %v", left, w.denied[0], r, again)
		}
		p.whole()
		if led := p.led(); len(led) > 0 {
			t.Fatalf("denied from call %d (%s) on, left behind: %v", left, w.denied[0], led)
		}
		clear()
	}
	if nothing < 5 || all == 0 {
		t.Fatalf("%d left nothing, %d all of it", nothing, all)
	}
}

// What an init left before it came to the database is put aside once it is surely over, or another made the vault; what leads to another database, or holds the key of a vault that is there, stays.
func TestWhatAnInitLeftIsForgottenWhereItHoldsNoVault(t *testing.T) {
	t.Parallel()
	p, _ := homeless(t)
	root := filepath.Dir(p.dir.Path())
	at, err := placeOf("file:" + p.write("address", p.address()))
	if err != nil {
		t.Fatal(err)
	}
	age := func(name string) {
		t.Helper()
		if err := os.Chtimes(filepath.Join(root, ".h-init-"+name), time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	leave := func(name, where string) {
		t.Helper()
		folder := filepath.Join(root, ".h-init-"+name)
		err := os.Mkdir(folder, 0o700)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, "store"), nil, 0o600)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, knownName), []byte(`{"format":1,"vault_id":"vlt_x","place":"`+where+`"}`), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	stay := func(when string, names ...string) {
		t.Helper()
		var want []string
		for _, name := range names {
			want = append(want, filepath.Join(root, ".h-init-"+name, "store"))
		}
		if led := p.led(); !slices.Equal(led, want) {
			t.Fatalf("%s: there is %v, not %v", when, led, want)
		}
	}
	leave("elsewhere", "postgres 192.0.2.1:5432/x, schema zavhoz")
	leave("fresh", at.String())
	leave("stale", at.String())
	age("elsewhere")
	age("stale")
	if r := p.run("", append(initAway, "--unlock", "passphrase")...); r.code == 0 { // it has nobody to ask, and says so after it looked at these
		t.Fatalf("%v", r)
	}
	stay("an init that made nothing", "elsewhere", "fresh")
	p.ok(initAway...)
	stay("the vault is made", "elsewhere")

	if err := os.Rename(p.dir.Path(), filepath.Join(root, ".h-init-own")); err != nil { // as if it was killed before it got its name
		t.Fatal(err)
	}
	leave("another", at.String())
	age("another")
	age("own")
	if r := p.run("", append(initAway, "--grant-to", "")...); r.code != 2 {
		t.Fatalf("a role without a name: %v", r)
	}
	p.bare()
	stay("nothing was done", "another", "elsewhere", "own")
	p.misled(filepath.Join(root, ".h-init-own"), filepath.Join(root, ".h-init-another"))
	stay("nothing was finished", "another", "elsewhere", "own")
	if out := p.ok(initAway...); !strings.Contains(out, "an earlier init began") || !strings.Contains(out, "--grant-to") {
		t.Fatal(out)
	}
	p.whole()
}

// misled tells that a folder is not believed: one whose identity does not open the vault of the database, though it says that it is its own; one that opens it and says another; and several that open it, or say so of a key that lies in no file. Each is named, and stays.
// What cannot be tried is refused for what it is. At the end another says that a key in the keyring opens the vault, which own was tried to do.
func (p *place) misled(own, another string) {
	p.t.Helper()
	file := func(folder, name string) []byte {
		p.t.Helper()
		b, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			p.t.Fatal(err)
		}
		return b
	}
	put := func(folder, name string, b []byte) {
		p.t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), b, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	refused := func(what string, code int, text string, named, not []string) {
		p.t.Helper()
		r := p.run("", initAway...)
		if _, err := os.Lstat(p.dir.Path()); r.code != code || !strings.Contains(r.stderr, text) || err == nil {
			p.t.Fatalf("%s: %v, %v", what, r, err)
		}
		for _, folder := range named {
			if !strings.Contains(r.stderr, folder) {
				p.t.Errorf("%s: %s is not named: %v", what, folder, r)
			}
		}
		for _, folder := range not {
			if strings.Contains(r.stderr, folder) {
				p.t.Errorf("%s: %s is named: %v", what, folder, r)
			}
		}
	}
	config, key, says, before := file(own, "config.yaml"), file(own, "identity.txt"), file(own, knownName), file(another, knownName)
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		p.t.Fatal(err)
	}
	put(own, "identity.txt", []byte(stranger.String()+"\n"))
	refused("another's key", 7, "does not open", []string{own}, []string{another})
	put(another, knownName, says)
	refused("another's key, twice", 7, "does not open", []string{own, another}, nil)
	put(own, "config.yaml", []byte("unlock: {sources: [passphrase]}\n"))
	put(another, "identity.txt", key)
	put(another, "config.yaml", nil)
	put(another, knownName, before)
	refused("one that opens it and remembers another", 7, "remembers another", []string{another}, []string{own})
	put(another, knownName, says)
	put(own, "config.yaml", config)
	put(own, "identity.txt", key)
	refused("two of one key", 4, "more than one", []string{own, another}, nil)
	keyed := []byte("unlock: {sources: [keyring]}\n")
	put(another, "config.yaml", keyed) // says it, and there is nothing to try: where nothing else opens the vault, that must do
	put(own, "config.yaml", keyed)
	refused("two by a key in no file", 4, "says that it opens", []string{own, another}, nil)
	put(own, "config.yaml", config)
	mode := func(m fs.FileMode) {
		p.t.Helper()
		if err := os.Chmod(filepath.Join(own, "identity.txt"), m); err != nil {
			p.t.Fatal(err)
		}
	}
	untried := func(what string, code int, text string) {
		p.t.Helper()
		refused(what, code, text, []string{own, "keep it where it is"}, []string{another, "elsewhere", "does not open", "age-keygen"})
	}
	mode(0o644)
	untried("its key is exposed", 7, "key_file_exposed")
	mode(0o600)
	put(own, "config.yaml", []byte("unlock: {sources: 7}\n"))
	untried("its configuration is broken", 2, "config.yaml")
	put(own, "config.yaml", config)
	put(own, "identity.txt", key[:len(key)/2])
	untried("its key is cut off", 7, "put back")
	put(own, "identity.txt", key)
	p.header("\"created_at\":\"20", "\"created_at\":\"21")
	untried("the header is damaged", 7, "vault_corrupt")
	p.header("\"created_at\":\"21", "\"created_at\":\"20")
	if err := os.Remove(filepath.Join(another, "identity.txt")); err != nil {
		p.t.Fatal(err)
	}
}

// header changes the header of the vault in the database.
func (p *place) header(old, fresh string) {
	p.t.Helper()
	st := p.tables()
	defer st.Close()
	if err := st.Update(p.t.Context(), func(tx store.Tx) error {
		b, err := keyring.Load(tx)
		if err != nil {
			return err
		}
		return keyring.Save(tx, bytes.ReplaceAll(b, []byte(old), []byte(fresh)))
	}); err != nil {
		p.t.Fatal(err)
	}
}

// Of several inits at the same time, at one database, one makes the vault, and it opens.
func TestOfManyInitsOneMakesTheVault(t *testing.T) {
	t.Parallel()
	p, _ := homeless(t)
	all := []*place{p}
	for range 3 {
		q := newPlace(t)
		q.dir, q.env = q.dir.Away(), append(q.env, "ADDRESS="+p.address())
		all = append(all, q)
	}
	codes := make(chan result, len(all))
	for _, q := range all {
		go func() { codes <- q.run("", initAway...) }()
	}
	made := 0
	for range all {
		r := <-codes
		switch {
		case r.code == 0:
			made++
		case !strings.Contains(r.stderr, string(fault.VaultBusy)) && !strings.Contains(r.stderr, string(fault.AlreadyInitialized)):
			t.Errorf("%v", r)
		}
	}
	if made == 0 { // each stood in another's way
		if r := p.again(); r.code != 0 {
			t.Fatalf("an init alone: %v", r)
		}
		made++
	}
	if made > 1 {
		t.Fatalf("%d vaults in one database", made)
	}
	for _, q := range all {
		if _, err := os.Stat(q.dir.Path()); err == nil {
			q.whole()
		} else if r := q.again(); r.code != 4 {
			t.Errorf("an init of a database with a vault: %v", r)
		}
	}
}
