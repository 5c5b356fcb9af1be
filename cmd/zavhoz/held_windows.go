package main

import "os"

// held tells whether a process holds the vault's file: its lock covers the first bytes, which then cannot be read.
func held(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = f.Read(make([]byte, 1))
	return err != nil
}
