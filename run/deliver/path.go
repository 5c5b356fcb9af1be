//go:build !windows

package deliver

// SafePath is the search path of every command: folders that only root can write.
const SafePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
