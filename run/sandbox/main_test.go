package sandbox_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/zavhoz/zavhoz/run/sandbox"
)

// children are what the test binary does inside a box: argv[1] names it.
var children = map[string]func(args []string){}

// setUp is the system's part of TestMain.
var setUp = func() (tearDown func()) { return func() {} }

func TestMain(m *testing.M) {
	sandbox.Main()
	if len(os.Args) > 1 {
		if f, ok := children[os.Args[1]]; ok {
			f(os.Args[2:])
			os.Exit(0)
		}
	}
	tearDown := setUp()
	code := m.Run()
	tearDown()
	os.Exit(code)
}

// say prints what became of one try: "name: ok", or its error.
func say(name string, err error) {
	if err == nil {
		fmt.Println(name + ": ok")
		return
	}
	fmt.Println(name+":", err)
}
