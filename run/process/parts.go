package process

import "os"

// Parts are what executes a Binary elsewhere: a sandbox forks in another process, and passes these descriptors there. They stay the Binary's.
type Parts struct {
	Program *os.File // the program, or the script's interpreter
	Script  *os.File // what the interpreter is to read; nil for a program
	head    []string
}

// Parts gives b's descriptors.
func (b *Binary) Parts() *Parts {
	if !b.script {
		return &Parts{Program: b.file}
	}
	head := []string{b.interp.path}
	if b.arg != "" {
		head = append(head, b.arg)
	}
	return &Parts{Program: b.interp.file, Script: b.file, head: head}
}

// Argv gives the arguments of Program: argv itself, or for a script the interpreter's, with the path by which it opens the script there.
func (p *Parts) Argv(argv []string, script string) []string {
	if p.Script == nil {
		return argv
	}
	return append(append(append([]string{}, p.head...), script), argv[1:]...)
}

// Path is where b lies, all links resolved: for systems that cannot execute a descriptor.
func (b *Binary) Path() string { return b.path }
