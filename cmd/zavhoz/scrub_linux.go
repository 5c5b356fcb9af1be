package main

import (
	"bytes"
	"os"
	"strconv"
)

// overwriteEnv clears the values of all variables but those that keep names where the kernel put them when it started this process; Go works on a copy. It goes by
// /proc/self/mem, which is closed to a process that is not dumpable: call it before harden. What cannot be written stays, and is closed to other users all the same.
func overwriteEnv(keep func(name string) bool) {
	from, to := initialEnv()
	mem, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil || from == 0 || to <= from {
		return
	}
	defer mem.Close()
	block := make([]byte, to-from)
	defer clear(block)
	if n, err := mem.ReadAt(block, from); err != nil || n != len(block) {
		return
	}
	for at := 0; at < len(block); {
		entry, _, _ := bytes.Cut(block[at:], []byte{0})
		name, value, ok := bytes.Cut(entry, []byte("="))
		if ok && !keep(string(name)) {
			clear(value)
		}
		at += len(entry) + 1
	}
	_, _ = mem.WriteAt(block, from)
}

// initialEnv is where the environment lies that this process was started with: fields 50 and 51 of /proc/self/stat (proc(5)). Zero where that cannot be read.
func initialEnv() (from, to int64) {
	b, err := os.ReadFile("/proc/self/stat")
	i := bytes.LastIndexByte(b, ')')
	if err != nil || i < 0 {
		return 0, 0
	}
	f := bytes.Fields(b[i+1:])
	if len(f) < 49 {
		return 0, 0
	}
	a, err1 := strconv.ParseInt(string(f[47]), 10, 64)
	z, err2 := strconv.ParseInt(string(f[48]), 10, 64)
	if err1 != nil || err2 != nil {
		return 0, 0
	}
	return a, z
}
