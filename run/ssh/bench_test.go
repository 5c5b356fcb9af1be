package ssh_test

import (
	"bytes"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/ssh"
)

// BenchmarkCommand measures one `true` on a server on loopback, each way in turn within one run: "x" is the ratio to OpenSSH with a key in a file, which makes a
// connection of its own for each. docs/performance.md says how to repeat it.
func BenchmarkCommand(b *testing.B) {
	bed := newBed(b, bedOptions{})
	server := bed.server
	dir := b.TempDir()
	key, known := filepath.Join(dir, "key"), filepath.Join(dir, "known")
	for path, data := range map[string][]byte{key: server.Key, known: []byte("[" + server.Host + "]:" + port(server) + " " + server.HostKey + "\n")} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	p := ssh.NewPool(ssh.Options{})
	b.Cleanup(p.Close)
	pooled := func() {
		s, err := p.Connect(b.Context(), target(server))
		if err != nil {
			b.Fatal(err)
		}
		if x, err := s.Run(b.Context(), ssh.Command{Line: "true"}); err != nil || x.Code != 0 {
			b.Fatal(x, err)
		}
	}
	program := func(args ...string) func() {
		return func() {
			cmd := osexec.CommandContext(b.Context(), "ssh", args...)
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v %s", err, out)
			}
		}
	}
	ways := []struct {
		name string
		do   func()
	}{
		{"openssh-key-file", program("-F", "none", "-o", "UserKnownHostsFile="+known, "-o", "IdentityFile="+key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-p", port(server), server.User+"@"+server.Host, "true")},
		{"openssh-bastion", program("-F", bed.config, "prod_vps_1", "true")},
		{"in-process", pooled},
	}
	spent := make([]time.Duration, len(ways))
	for _, w := range ways {
		w.do()
	}
	for b.Loop() {
		for i, w := range ways {
			begun := time.Now()
			w.do()
			spent[i] += time.Since(begun)
		}
	}
	for i, w := range ways {
		b.ReportMetric(float64(spent[i].Microseconds())/float64(b.N), w.name+"-µs")
		if i > 0 {
			b.ReportMetric(float64(spent[i])/float64(spent[0]), w.name+"-x")
		}
	}
}

// BenchmarkBulk measures 64 MiB from a server to a client of the bastion, masked on the way as text and as a protocol with frames, against OpenSSH by itself.
func BenchmarkBulk(b *testing.B) {
	bed := newBed(b, bedOptions{})
	file := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(file, bytes.Repeat([]byte("2026-11-25T22:00:00Z info served a request in 12 ms\n"), 64<<20/52), 0o600); err != nil {
		b.Fatal(err)
	}
	key, known := filepath.Join(bed.dir, "key"), filepath.Join(bed.dir, "known")
	server := bed.server
	for path, data := range map[string][]byte{key: server.Key, known: []byte("[" + server.Host + "]:" + port(server) + " " + server.HostKey + "\n")} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	direct := []string{"-F", "none", "-o", "UserKnownHostsFile=" + known, "-o", "IdentityFile=" + key, "-o", "IdentitiesOnly=yes", "-p", port(server), server.User + "@" + server.Host}
	for _, w := range []struct {
		name string
		args []string
	}{
		{"direct", append(direct, "cat "+file)},
		{"bastion-text", []string{"-F", bed.config, "prod_vps_1", "cat " + file}},
		{"bastion-frames", []string{"-F", bed.config, "prod_vps_1", "dd status=none bs=64k if=" + file}},
	} {
		b.Run(w.name, func(b *testing.B) {
			b.SetBytes(64 << 20)
			for b.Loop() {
				cmd := osexec.CommandContext(b.Context(), "ssh", w.args...)
				cmd.Stdout = io.Discard
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
