package run_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// A command of the model's own prints all that it has: what comes out is the placeholder, so that there is nothing to mask.
func TestAttack01_ThereIsOnlyAPlaceholderToPrint(t *testing.T) {
	eachWall(t, nil, func(t *testing.T, h *house, e *run.Engine) {
		h.acme(newUpstream(t, nil))
		res := mustRun(t, e, sh(`printenv ACME_KEY; set -x; : "$ACME_KEY"; set; export -p; tr '\0' '\n' </proc/self/environ`))
		own := lines(res)[0]
		if len(own) != len(acmeKey) || own == acmeKey || strings.Count(res.Stdout+res.Stderr, own) < 4 || res.Redactions != 0 || res.Foreign != 0 {
			t.Fatalf("%q %+v", own, res)
		}
		partOf(t, res.Stdout+res.Stderr, acmeKey)
	})
}

// The same of a command that a person pinned: it holds the value, and every print of it is masked.
func TestAttack01_APinnedCommandWithinWalls(t *testing.T) {
	eachWall(t, nil, func(t *testing.T, h *house, e *run.Engine) {
		res := mustRun(t, e, h.pinShell(`printenv ACME_KEY; set -x; : "$ACME_KEY"; tr '\0' '\n' </proc/self/environ`))
		if res.Delivered["acme"] != "env" || res.Redactions != 3 || strings.Count(res.Stdout, "[redacted:acme.key]") != 2 {
			t.Fatalf("%+v", res)
		}
		partOf(t, res.Stdout+res.Stderr, acmeKey)
	})
}

func TestAttack02_APinnedCommandWithinWalls(t *testing.T) {
	eachWall(t, nil, func(t *testing.T, h *house, e *run.Engine) {
		res := mustRun(t, e, h.pinShell(`printf %s "$ACME_KEY" | base64 -w0; echo; printf x%s "$ACME_KEY" | base64; printf %s "$ACME_KEY" | od -An -v -tx1; printf %s "$ACME_KEY" | rev`))
		if res.Redactions < 4 || res.Withheld {
			t.Fatalf("%+v", res)
		}
		for _, form := range []string{base64.StdEncoding.EncodeToString([]byte(acmeKey))[4:16], "61 63 6d 65 2d 63 61 6e", "8ByB5Rm2W"} {
			if strings.Contains(res.Stdout, form) {
				t.Errorf("%q came out: %q", form, res.Stdout)
			}
		}
	})
}

func TestAttack03_APinnedCommandWithinWalls(t *testing.T) {
	eachWall(t, nil, func(t *testing.T, h *house, e *run.Engine) {
		for _, how := range []string{`fold -w1`, `tr a-zA-Z n-za-mN-ZA-M`, `sed 's/./& - /g'`, `base64 -w0 | base64 -w0`, `od -An -v -tu1`, `tr a-z A-Z`} {
			if res := mustRun(t, e, h.pinShell(`echo harmless; printf %s "$ACME_KEY" | `+how)); !res.Withheld && res.Redactions == 0 || strings.Contains(res.Stdout, "acme-canary") {
				t.Errorf("%s: %+v", how, res)
			}
		}
	})
}

// What is lost where a pinned command holds the value: one that compresses it is not understood. The pin is a person's trust in the command.
func TestAttack04_APinnedCommandThatCompresses(t *testing.T) {
	h, tool := botHouse(t, `printf %s "$BOT_TOKEN" | gzip -c | base64 -w0`)
	res := mustRun(t, newEngine(t, h, nil), request(tool))
	if got := unzip(t, res.Stdout); got != token {
		t.Fatalf("it is stopped: then docs/threat-model.md says too little: %q, %+v", got, res)
	}
}

func unzip(t *testing.T, text string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return err.Error()
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return err.Error()
	}
	out, err := io.ReadAll(z)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// However a command of the model's own disguises what it has, undone outside it is the placeholder.
func TestAttack04_OnlyAPlaceholderCanBeDisguised(t *testing.T) {
	eachWall(t, nil, func(t *testing.T, h *house, e *run.Engine) {
		h.acme(newUpstream(t, nil))
		res := mustRun(t, e, sh(`echo "$ACME_KEY"; printf %s "$ACME_KEY" | gzip -c | base64 -w0; echo
			printf %s "$ACME_KEY" | openssl enc -aes-256-cbc -pbkdf2 -pass pass:x -base64 -A | openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:x -base64 -A; echo
			i=1; while [ $i -le 4 ]; do printf %s "$ACME_KEY" | cut -c1-$i | tr -d '\n' | sha256sum | cut -c1-8; i=$((i+1)); done`))
		out := lines(res)
		if len(out) != 7 || len(out[0]) != len(acmeKey) || unzip(t, out[1]) != out[0] || out[2] != out[0] || res.Withheld || res.Redactions != 0 {
			t.Fatalf("%+v", res)
		}
		partOf(t, res.Stdout, acmeKey)
	})
}

// One byte in each exit code, over many runs: they come from placeholders, of which each run has another.
func TestAttack05_ManyRunsCarryNothing(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		h, e := realHouse(t, nil)
		h.acme(newUpstream(t, nil))
		var carried []byte
		drawn := map[string]bool{}
		const n = 6
		for i := len(acmeKey) - n; i < len(acmeKey); i++ {
			res := mustRun(t, e, sh(fmt.Sprintf(`echo "$ACME_KEY"; exit $(printf %%d "'$(printf %%s "$ACME_KEY" | cut -c%d)")`, i+1)))
			own := lines(res)[0]
			if byte(res.ExitCode) != own[i] || drawn[own] {
				t.Fatalf("the channel does not carry what it should: %d, %q", res.ExitCode, own)
			}
			drawn[own] = true
			carried = append(carried, byte(res.ExitCode))
		}
		if string(carried) == acmeKey[len(acmeKey)-n:] {
			t.Fatalf("carried %q", carried)
		}
	})
}

// What is lost where a pinned command holds the value: its exit code says one byte a run. Each run is recorded; a hole in the pin steers it.
func TestAttack05_APinnedCommandsExitCode(t *testing.T) {
	h, tool := botHouse(t, `exit $(printf %d "'$BOT_TOKEN")`)
	res := mustRun(t, newEngine(t, h, nil), request(tool))
	if record, _ := h.GetRun(t.Context(), alice, res.RunID); res.ExitCode != int(token[0]) || record.ExitCode != res.ExitCode {
		t.Fatalf("it is stopped: then docs/threat-model.md says too little: %+v", res)
	}
}

// everything reads all that a process can read and looks for values that it is told veiled: raw and in the encodings that the redactor knows.
const everything = `
import os, sys, base64, socket, codecs
def forms(w):
    yield w; yield w[::-1]; yield w.hex().encode(); yield w.hex().upper().encode(); yield w.lower(); yield w.upper(); yield w.decode().encode('utf-16le')
    yield codecs.encode(w.decode(), 'rot13').encode(); yield b''.join(b'%%%02X' % c for c in w); yield b' '.join(b'%02x' % c for c in w)
    for pad in range(3):
        e = base64.b64encode(b'\0' * pad + w)
        yield e[4 if pad else 0:len(e) // 4 * 4 - 4]
needles = {}
for n, arg in enumerate(sys.argv[1:]):
    v = bytes(b ^ 0x5a for b in bytes.fromhex(arg))
    for i in range(0, len(v) - 11, 6):
        for f in forms(v[i:i+12]): needles[f] = n
control = os.environ['ACME_KEY'].encode()
places = bytes_read = controls = 0
def look(where, data):
    global places, bytes_read, controls
    places += 1; bytes_read += len(data)
    for f in needles:
        if f in data: print('FOUND', needles[f], where)
    if control in data: controls += 1
def read(path, limit=8 << 20):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError: return
    try:
        data = b''
        while len(data) < limit:
            b = os.read(fd, 1 << 20)
            if not b: break
            data += b
        look(path, data)
    except OSError: pass
    finally: os.close(fd)
me = str(os.getpid())
for top in ['/home', '/root', '/tmp', '/run', '/var', '/etc', '/dev/shm', '/dev/mqueue', '/srv', '/mnt', '/opt', '/boot', os.environ['HOME'], os.environ.get('TMPDIR', '/tmp'), '/usr/local/etc']:
    for d, _, names in os.walk(top):
        if d.startswith(('/var/lib/dpkg', '/var/lib/apt', '/var/cache')): continue
        for n in names:
            p = os.path.join(d, n)
            if os.path.isfile(p): read(p)
            try: look('name ' + p, os.fsencode(p + ' ' + (os.readlink(p) if os.path.islink(p) else '')))
            except OSError: pass
def memory(pid):
    try:
        maps = open('/proc/%s/maps' % pid).read()
        mem = open('/proc/%s/mem' % pid, 'rb', 0)
    except OSError: return
    for line in maps.splitlines():
        a, b = (int(x, 16) for x in line.split()[0].split('-'))
        try:
            mem.seek(a); look('memory of ' + pid, mem.read(min(b - a, 64 << 20)))
        except (OSError, ValueError, OverflowError): pass
for pid in os.listdir('/proc'):
    if not pid.isdigit() and pid != 'self': continue
    for f in ['environ', 'cmdline', 'comm', 'maps', 'auxv', 'status', 'mountinfo', 'stack', 'task/%s/environ' % pid]: read('/proc/%s/%s' % (pid, f))
    if pid not in (me, 'self'):
        memory(pid)
        try:
            for fd in os.listdir('/proc/%s/fd' % pid): read('/proc/%s/fd/%s' % (pid, fd), 1 << 20)
        except OSError: pass
for f in os.listdir('/proc'):
    if not f.isdigit() and f not in ('kmsg', 'kcore', 'self', 'thread-self') and os.path.isfile('/proc/' + f): read('/proc/' + f, 1 << 20)
for fd in range(3, 1024):
    try: look('descriptor %d' % fd, os.readlink('/proc/self/fd/%d' % fd).encode())
    except OSError: continue
    read('/proc/self/fd/%d' % fd)
talked = 0
for host, port in [('127.0.0.1', 3128), ('127.0.0.2', 443), ('127.0.1.1', 22), ('127.0.2.1', 5432), ('127.0.1.1', 1)]:
    for say in [b'', b'GET / HTTP/1.0\r\n\r\n', b'CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n', b'\0\0\0\x08\x04\xd2\x16\x2f', b'SSH-2.0-x\r\n' + b'\0' * 64]:
        try:
            s = socket.create_connection((host, port), 2); s.settimeout(2); s.sendall(say); s.shutdown(socket.SHUT_WR) if say else None
            data = b''
            try:
                while len(data) < 1 << 16:
                    b = s.recv(65536)
                    if not b: break
                    data += b
            except OSError: pass
            look('%s:%d after %r' % (host, port, say[:12]), data); talked += 1; s.close()
        except OSError: pass
for k, v in os.environ.items(): look('variable ' + k, v.encode())
print('places', places, 'bytes', bytes_read, 'controls', controls, 'talked', talked)
`

// All that a command within walls can read holds no value: files, names, every process, its descriptors, what its services say. Rows 2 to 5 rest on this: what is not
// there cannot be encoded, compressed or carried bit by bit.
func TestAttack02_NothingWithinTheWallsHoldsAValue(t *testing.T) {
	k := servers(t)
	eachWall(t, nil, func(t *testing.T, h *house, e *run.Engine) {
		u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.Header.Get("Authorization")) })
		h.acme(u)
		h.serviceResources(k)
		p := u.policy()
		p.Hosts, p.Resolve = nil, []string{"api.telegram.org=127.0.0.1"}
		h.keep("telegram_bot", "bot", map[string]string{"username": "@weather_bot"}, map[string]string{"token": "123456789:AAF4nQzx7Lq0mYcVtR2sWbE8uKpJdH1oGiXvN"}, p)
		key := strings.Split(k.SSHKey, "\n")
		const mark = "a-mark-that-is-to-be-found-88213"
		r := python(everything, veiled(mark), veiled(acmeKey), veiled("123456789:AAF4nQzx7Lq0mYcVtR2sWbE8uKpJdH1oGiXvN"), veiled(k.Password), veiled(key[len(key)/2]))
		r.Refs = []string{"acme", "bot", "prod_vps_1", "shop_db"}
		r.Env = map[string]string{"MARK": base64.StdEncoding.EncodeToString([]byte("x" + mark))}
		res := mustRun(t, e, r)
		var places, read, controls, talked int
		last := lines(res)[len(lines(res))-1]
		if _, err := fmt.Sscanf(last, "places %d bytes %d controls %d talked %d", &places, &read, &controls, &talked); err != nil || res.ExitCode != 0 {
			t.Fatalf("%v %+v", err, res)
		}
		t.Log(last)
		if !strings.Contains(res.Stdout, "FOUND 0 variable MARK\n") { // the hunter hunts
			t.Fatal(res.Stdout)
		}
		if found := strings.Count(res.Stdout, "FOUND "); found != strings.Count(res.Stdout, "FOUND 0 ") || places < 100 || controls < 2 || talked < 8 {
			t.Fatalf("%s\n%s", res.Stdout, res.Stderr)
		}
	})
}

// serviceResources keeps a server and a database.
func (h *house) serviceResources(k known) {
	h.keep("server", "prod_vps_1", map[string]string{"user": k.SSHUser, "port": fmt.Sprint(k.SSHPort), "host_key": k.HostKey},
		map[string]string{"host": "127.0.0.1", "ssh_key": k.SSHKey}, policy.Policy{})
	h.keep("database", "shop_db", map[string]string{"env": "DATABASE_URL", "engine": "postgres", "database": "shop", "user": "app"},
		map[string]string{"url": k.Database, "password": k.Password, "host": "127.0.0.1"}, policy.Policy{Private: true})
}
