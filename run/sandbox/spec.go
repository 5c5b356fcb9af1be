package sandbox

import (
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/zavhoz/zavhoz/run/process"
)

// Mode is what a command may do with a working directory.
type Mode string

// The modes of a working directory.
const (
	ReadOnly  Mode = "ro"
	ReadWrite Mode = "rw"
	Overlay   Mode = "overlay" // changes go to a layer of their own: Changes, Keep
)

// Workdir is a folder of the operator's that the command sees, at the same path.
type Workdir struct {
	Path string // absolute, no symbolic link in it
	Mode Mode
	ours bool // Probe's own: it lies where no operator's may
}

// File is a file that the command sees and cannot change.
type File struct {
	Path string // absolute, as the command sees it; below Home where the box is not Named
	Data []byte
	Mode fs.FileMode // permission bits; 0: 0444
}

// Listen is a listener that the command reaches at Addr and the daemon serves.
type Listen struct {
	Name string
	// Addr is "127.0.0.1:3128", or "unix:/path" below Home. Ports below 1024 and paths only where the box is Named.
	Addr string
}

// Limits bound one process and all that it starts. Zero: the default.
type Limits struct {
	MemoryMB   int
	Processes  int
	OpenFiles  int
	CPUSeconds int // none by default
	FileMB     int // largest file it may write
	LayerMB    int // what the layers of its box's overlays may hold in all, by the lengths of files
	LayerFiles int // … and how many files and folders
}

// Terminal asks for a terminal made inside instead of the three streams.
type Terminal struct{ Rows, Cols int }

// Spec is all that a process gets. Nothing else reaches it.
type Spec struct {
	Binary    *process.Binary // nil: Argv[0] is looked up in Env's PATH, inside the view
	Argv      []string
	Env       []string // complete
	Dir       string   // in a working directory or Home; "": Home
	Workdirs  []Workdir
	Files     []File
	Listen    []Listen
	Inherit   []*os.File // descriptors 3, 4, …; the caller keeps and closes its own
	Input     []byte     // as process.Spec
	Stdin     *os.File
	Stdout    io.Writer
	Stderr    io.Writer
	Terminal  *Terminal
	Limits    Limits
	try       func(*composer) // Probe's: done in the command's place
	Grace     time.Duration   // between TERM and KILL; default 2 s
	WaitDelay time.Duration   // how long the pipes may stay open after the end; default 1 s
}

// or fills what is zero from d.
func (l Limits) or(d Limits) Limits {
	pick := func(v, d int) int {
		if v > 0 {
			return v
		}
		return d
	}
	return Limits{pick(l.MemoryMB, d.MemoryMB), pick(l.Processes, d.Processes), pick(l.OpenFiles, d.OpenFiles), pick(l.CPUSeconds, d.CPUSeconds), pick(l.FileMB, d.FileMB),
		pick(l.LayerMB, d.LayerMB), pick(l.LayerFiles, d.LayerFiles)}
}
