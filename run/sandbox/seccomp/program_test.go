package seccomp

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
)

var update = flag.Bool("update", false, "write the golden files")

// data is struct seccomp_data.
type data struct {
	number, arch uint32
	ip           uint64
	args         [6]uint64
}

// bytes is what the kernel shows to a filter, word by word turned round: the kernel reads it in the machine's order, bpf.VM as big-endian.
func (d data) bytes() []byte {
	b := make([]byte, 0, 64)
	for _, w := range []uint32{d.number, d.arch, uint32(d.ip), uint32(d.ip >> 32)} { // both machines are little-endian: the low half first
		b = binary.BigEndian.AppendUint32(b, w)
	}
	for _, a := range d.args {
		b = binary.BigEndian.AppendUint32(b, uint32(a))
		b = binary.BigEndian.AppendUint32(b, uint32(a>>32))
	}
	return b
}

type machine struct {
	t    testing.TB
	name string
	arch arch
	vm   *bpf.VM
}

func newMachine(t testing.TB, name string, o Options) machine {
	t.Helper()
	raw, err := Program(name, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 1000 { // the kernel's limit is 4096 for one, 32768 for all of a thread, each four more
		t.Fatalf("%d instructions", len(raw))
	}
	ins, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("the program has instructions that are none")
	}
	vm, err := bpf.NewVM(ins)
	if err != nil {
		t.Fatal(err)
	}
	return machine{t, name, arches[name], vm}
}

func (m machine) run(d data) uint32 {
	ret, err := m.vm.Run(d.bytes())
	if err != nil {
		m.t.Fatal(err)
	}
	return uint32(ret)
}

// call runs a native call by its name.
func (m machine) call(name string, args ...uint64) uint32 {
	m.t.Helper()
	d := data{arch: m.arch.audit, number: m.number(name)}
	copy(d.args[:], args)
	return m.run(d)
}

func (m machine) number(name string) uint32 {
	for n, j := range byNumber[m.name] {
		if j.name == name {
			return n
		}
	}
	m.t.Fatalf("%s has no call %q", m.name, name)
	return 0
}

func known() (list []call) {
	for _, groups := range tables {
		for _, g := range groups {
			list = append(list, g.calls...)
		}
	}
	return list
}

var allOptions = []Options{{}, {DenyUDP: true}, {DenyUnix: true}, {DenyUDP: true, DenyUnix: true}, {DenyUDP: true, Notify: true},
	{true, true, true}}

// eachMachine runs a test for both architectures and every set of options.
func eachMachine(t *testing.T, test func(*testing.T, machine, Options)) {
	for _, name := range []string{"amd64", "arm64"} {
		for _, o := range allOptions {
			t.Run(fmt.Sprintf("%s/%+v", name, o), func(t *testing.T) { test(t, newMachine(t, name, o), o) })
		}
	}
}

func TestProgramRefusesWhatWouldBeAHole(t *testing.T) {
	for _, name := range []string{"", "386", "riscv64", "amd64p32"} {
		if _, err := Program(name, Options{}); err != ErrArch {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, o := range []Options{{Notify: true}, {Notify: true, DenyUnix: true}} {
		if _, err := Program("amd64", o); err != ErrOptions {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// The tables agree with golang.org/x/sys, name by name and number by number, and leave out nothing that it knows.
func TestTablesAgreeWithTheSystemsNumbers(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range arches {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "unix", "zsysnum_linux_"+name+".go"))
		if err != nil {
			t.Fatal(err)
		}
		theirs := map[string]int{}
		for _, m := range regexp.MustCompile(`(?m)^\tSYS_(\w+)\s+= (\d+)$`).FindAllStringSubmatch(string(text), -1) {
			theirs[strings.ToLower(m[1])], _ = strconv.Atoi(m[2])
		}
		delete(theirs, "arch_specific_syscall") // where a block of numbers begins; no call
		if len(theirs) < 300 {
			t.Fatalf("%s: read %d numbers", name, len(theirs))
		}
		ours := map[string]int{}
		for _, c := range known() {
			if n := int(a.number(c)); n >= 0 {
				if _, twice := ours[c.name]; twice {
					t.Errorf("%s: %s is there twice", name, c.name)
				}
				ours[c.name] = n
				if n > maxNumber {
					t.Errorf("%s: %s is above maxNumber", name, c.name)
				}
			}
		}
		for call, n := range theirs {
			if got, ok := ours[call]; !ok || got != n {
				t.Errorf("%s: %s is %d; here %d, %v", name, call, n, got, ok)
			}
		}
		for call := range ours {
			if _, ok := theirs[call]; !ok {
				t.Errorf("%s: %s is unknown there", name, call)
			}
		}
	}
}

// The verdict on each call with zero arguments is written down; a changed table shows here.
func TestVerdictsAreWrittenDown(t *testing.T) {
	var b strings.Builder
	calls := known()
	slices.SortFunc(calls, func(a, b call) int { return strings.Compare(a.name, b.name) })
	bare := map[string]machine{"amd64": newMachine(t, "amd64", Options{}), "arm64": newMachine(t, "arm64", Options{})}
	full := map[string]machine{"amd64": newMachine(t, "amd64", Options{true, true, true}), "arm64": newMachine(t, "arm64", Options{true, true, true})}
	for _, c := range calls {
		said := ""
		for name, a := range arches {
			if a.number(c) < 0 {
				continue
			}
			s := word(bare[name].call(c.name))
			if f := word(full[name].call(c.name)); f != s {
				s += ", with all options " + f
			}
			if said != "" && said != s {
				t.Errorf("%s: %s on one architecture, %s on the other", c.name, said, s)
			}
			said = s
		}
		fmt.Fprintf(&b, "%s: %s\n", c.name, said)
	}
	golden := filepath.Join("testdata", "verdicts.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the verdicts are not those of %s (-update writes it):\n%s", golden, b.String())
	}
}

func word(ret uint32) string {
	switch ret & 0xffff0000 {
	case retAllow:
		return "allowed"
	case retKill:
		return "killed"
	case retNotify:
		return "asked"
	}
	return "errno " + strconv.Itoa(int(ret&0xffff))
}

// A number that no table has does not exist, whatever its arguments: what a later kernel adds stays shut.
func TestUnknownNumbersDoNotExist(t *testing.T) {
	eachMachine(t, func(t *testing.T, m machine, _ Options) {
		taken := map[uint32]bool{}
		for _, c := range known() {
			taken[uint32(m.arch.number(c))] = true
		}
		for n := range uint32(2048) {
			if !taken[n] && m.run(data{number: n, arch: m.arch.audit}) != retNosys {
				t.Errorf("number %d exists", n)
			}
		}
		for _, n := range []uint32{1<<30 - 1, 1 << 29, 1 << 20, 1 << 16} {
			if m.run(data{number: n, arch: m.arch.audit}) != retNosys {
				t.Errorf("number %d exists", n)
			}
		}
	})
}

// The program does what the plain reading of the rules says, for random calls with arguments near what the rules look at.
func TestProgramDoesWhatTheModelSays(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	eachMachine(t, func(t *testing.T, m machine, o Options) {
		for range 10000 {
			compare(t, m, o, randomCall(rng, m))
		}
	})
}

func compare(t *testing.T, m machine, o Options, d data) {
	if got, want := m.run(d), model(m.name, o, d); got != want {
		t.Fatalf("%s %+v %+v: %#x, the model says %#x", m.name, o, d, got, want)
	}
}

func FuzzProgramAgainstModel(f *testing.F) {
	machines := map[string][]machine{}
	for name := range arches {
		for _, o := range allOptions {
			machines[name] = append(machines[name], newMachine(f, name, o))
		}
	}
	f.Add(true, uint8(0), uint32(0xc000003e), uint32(41), uint64(2), uint64(1), uint64(262))
	f.Add(false, uint8(5), uint32(0xc00000b7), uint32(198), uint64(1<<32|2), uint64(2), uint64(0))
	f.Add(true, uint8(4), uint32(0xc000003e), uint32(0x40000001), uint64(0), uint64(0), uint64(0))
	f.Fuzz(func(t *testing.T, amd bool, options uint8, audit, number uint32, a, b, c uint64) {
		name := "arm64"
		if amd {
			name = "amd64"
		}
		i := int(options) % len(allOptions)
		m := machines[name][i]
		m.t = t
		compare(t, m, allOptions[i], data{number: number, arch: audit, args: [6]uint64{a, b, c, a ^ c, b, a}})
	})
}
