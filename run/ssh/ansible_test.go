package ssh_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const playbook = `
- hosts: all
  gather_facts: true
  tasks:
    - name: copy
      copy: {content: "hello {{ ansible_user_id }}\n", dest: "DIR/copied"}
    - name: big
      copy: {src: "DIR/noise", dest: "DIR/noise2"}
    - name: many
      command: "echo {{ item }}"
      loop: [1, 2, 3, 4]
    - name: fetched
      fetch: {src: "DIR/copied", dest: "DIR/fetched", flat: true}
`

// Ansible against the alias: with its multiplexing, with and without pipelining, by each of its ways to copy.
func TestAnsible(t *testing.T) {
	b := newBed(t, bedOptions{})
	dir, err := os.MkdirTemp("", "zvh") // its control sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	want := noise(t, filepath.Join(dir, "noise"), 3<<20)
	for name, text := range map[string]string{"play.yml": strings.ReplaceAll(playbook, "DIR", dir), "hosts": "prod_vps_1\n", "ansible.cfg": "[defaults]\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, how := range [][]string{{"ANSIBLE_PIPELINING=True"}, {"ANSIBLE_PIPELINING=False", "ANSIBLE_SSH_TRANSFER_METHOD=sftp"}, {"ANSIBLE_PIPELINING=False", "ANSIBLE_SSH_TRANSFER_METHOD=scp"}} {
		for _, made := range []string{"copied", "noise2", "fetched"} {
			_ = os.Remove(filepath.Join(dir, made))
		}
		cmd := b.command(t, "ansible-playbook", "-i", filepath.Join(dir, "hosts"), filepath.Join(dir, "play.yml"))
		cmd.Env = append(cmd.Env, "HOME="+dir, "ANSIBLE_LOCAL_TEMP="+dir, "ANSIBLE_REMOTE_TEMP="+dir+"/remote", "ANSIBLE_SSH_CONTROL_PATH_DIR="+dir, "ANSIBLE_CONFIG="+filepath.Join(dir, "ansible.cfg"),
			"ANSIBLE_SSH_ARGS=-F "+b.config+" -o ControlMaster=auto -o ControlPersist=30s", "ANSIBLE_SCP_EXTRA_ARGS=-O", "ANSIBLE_NOCOLOR=1")
		cmd.Env = append(cmd.Env, how...)
		out, err := cmd.CombinedOutput()
		if err != nil || sum(t, filepath.Join(dir, "noise2")) != want || sum(t, filepath.Join(dir, "fetched")) != sum(t, filepath.Join(dir, "copied")) {
			t.Errorf("%s: %v\n%s", how, err, out)
		}
	}
	if n := b.server.Logins(); n > 2 {
		t.Errorf("%d logins: the connection was not kept", n)
	}
}
