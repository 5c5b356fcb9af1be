package sandbox_test

import (
	"os"
	"testing"

	"github.com/zavhoz/zavhoz/run/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}
