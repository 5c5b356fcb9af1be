//go:build !linux

package main

import "io/fs"

// memory says that this system is not looked at: FileVault and BitLocker encrypt swap and hibernation with the disk, where they are on.
func (m machine) memory() []finding {
	return []finding{{name: "swap", lost: "whether swap and hibernation are encrypted is not looked at on this system", fix: "turn disk encryption on (FileVault, BitLocker)"}}
}

// Lists of access are not looked at on this system.
func hasACL(string) bool { return false }

func wider(fs.FileInfo) bool { return false }

func changeable(string) string { return "" }
