package fault_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
)

var update = flag.Bool("update", false, "rewrite golden files")

const golden = "../../testdata/formats/codes.golden"

// Codes are public: a change of this file is a change of the API.
func TestCodesGolden(t *testing.T) {
	var lines []string
	for _, c := range fault.Codes() {
		m := c.Of()
		lines = append(lines, fmt.Sprintf("%s http=%d exit=%d retry=%t", c, m.HTTP, m.Exit, m.Retry))
	}
	slices.Sort(lines)
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("codes changed; got:\n%s", got)
	}
}

func TestForeignErrorsAreNotShown(t *testing.T) {
	cause := fmt.Errorf("dial tcp: password=%s", "canary-5512")
	e := fault.Of(cause)
	if e.Code != fault.Internal || strings.Contains(e.Error(), "canary") {
		t.Errorf("shown: %v", e)
	}
	if !errors.Is(e, cause) {
		t.Error("the cause is lost to errors.Is")
	}
	if strings.Contains(fault.Cause(e), "canary") {
		t.Error("Cause holds a value")
	}
	wrapped := fmt.Errorf("at place: %w", fault.New(fault.VaultLocked, "the vault is locked", ""))
	if fault.CodeOf(wrapped) != fault.VaultLocked || !errors.Is(wrapped, fault.New(fault.VaultLocked, "", "")) {
		t.Error("a wrapped fault is not found")
	}
}

func TestCopiesDoNotShareDetails(t *testing.T) {
	a := fault.New(fault.NoFreePort, "m", "n").With("a", 1)
	b := a.With("b", 2)
	if len(a.Details) != 1 || len(b.Details) != 2 {
		t.Error("With changed its receiver")
	}
}
