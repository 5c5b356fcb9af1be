//go:build unix

package postgrestest

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// ordinary is who runs the server for root: nobody, on every system that has a number for it.
const ordinary = 65534

// command starts a program of PostgreSQL with an environment of its own: the caller's PGHOST and the like are not its business.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = s.dir
	c.Env = []string{"PATH=/usr/bin:/bin:" + s.bin, "LC_ALL=C", "HOME=" + s.dir}
	c.Stdout, c.Stderr = &s.log, &s.log
	if os.Geteuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinary, Gid: ordinary}}
	}
	return c
}

// own gives the folder to whoever runs the server.
func (s *Server) own() error {
	if os.Geteuid() != 0 {
		return nil
	}
	return filepath.Walk(s.dir, func(p string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(p, ordinary, ordinary)
	})
}
