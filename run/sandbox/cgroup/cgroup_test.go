package cgroup

import (
	"errors"
	"strings"
	"testing"
)

func TestNamesAreNoPaths(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "../x", "a b", "ä", "a\x00", "a.b", strings.Repeat("x", 101)} {
		if _, err := New(name, Limits{}); !errors.Is(err, ErrName) && !errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: %v", name, err)
		}
		if goodName(name) {
			t.Errorf("%q is taken for a name", name)
		}
	}
	if !goodName("run_7K2m-x") {
		t.Error("a run's id is refused")
	}
}

// Whether there are groups or not, the answers agree.
func TestAvailableSaysWhyNot(t *testing.T) {
	ok, reason := Available()
	if ok != (reason == "") {
		t.Errorf("%v, %q", ok, reason)
	}
	g, err := New("agreement", Limits{})
	if (err == nil) != ok {
		t.Errorf("available: %v %q; New: %v", ok, reason, err)
	}
	if err != nil {
		if !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		return
	}
	if g.Holds() != (Held{}) {
		t.Errorf("limits that nobody asked for: %+v", g.Holds())
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}
