package main

import (
	"os"
	"slices"
	"strings"
)

// keptEnv is all that a daemon keeps of the environment it was started with: where things are. An agent's token, a database's URL, whatever else a shell or a unit
// had in it is nothing that a child of the daemon, or who looks at its /proc/PID/environ, should find (threat-model.md 19).
var keptEnv = []string{
	"ZAVHOZ_HOME", "PATH", "HOME", "USER", "LOGNAME", "TZ", "LANG", "LC_ALL", "TERM", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "XDG_DATA_HOME", "GHOST_SERVERS",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "SystemRoot", "LOCALAPPDATA", "APPDATA", "USERPROFILE", "windir", "TEMP", "TMP", "GOCOVERDIR",
}

// credentialsVariable is where systemd says in which folder its credentials are.
const credentialsVariable = "CREDENTIALS_DIRECTORY"

// scrub takes everything else out of this process's environment, and out of the memory in which the kernel put it, where other processes read it as
// /proc/PID/environ. Go's own copies stay in memory until it is used again; harden closes that memory to others.
func scrub() { forget(func(name string) bool { return slices.Contains(keptEnv, name) }) }

// forget is scrub for all variables but those that keep names.
func forget(keep func(name string) bool) {
	overwriteEnv(keep)
	for _, entry := range os.Environ() {
		if name, _, ok := strings.Cut(entry, "="); ok && name != "" && !keep(name) {
			_ = os.Unsetenv(name)
		}
	}
}
