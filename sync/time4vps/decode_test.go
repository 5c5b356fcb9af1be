package time4vps

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/secret"
)

func same(s secret.Secret, text string) bool { return s.Equal(secret.FromString(text)) }

func TestDecodeList(t *testing.T) {
	cases := []struct {
		name, body string
		ids        string // joined; "-" for one without
		bad        int
		fails      bool
	}{
		{"as documented", `[{"server_id":300411,"domain":"alpha.example.net","ip":"203.0.113.10","date_created":"2026-01-15","synch_date":"2026-09-01 10:20:00","label":"bots","type":"KVM"}]`, "300411", 0, false},
		{"id for server_id", `[{"id":7,"ip":"203.0.113.10"}]`, "7", 0, false},
		{"server_id goes first", `[{"id":7,"server_id":8}]`, "8", 0, false},
		{"ids as strings", `[{"server_id":"9"},{"server_id":null,"id":"10"}]`, "9 10", 0, false},
		{"a single object", ` {"server_id":1,"ip":""}`, "1", 0, false},
		{"empty", `[]`, "", 0, false},
		{"no ip yet", `[{"server_id":1,"ip":""},{"server_id":2,"ip":null},{"server_id":3},{"server_id":4,"ip":"0.0.0.0"}]`, "1 2 3 4", 0, false},
		{"bad ips", `[{"server_id":1,"ip":"300.1.2.3"},{"server_id":2,"ip":["x"]},{"server_id":3,"ip":"fe80::1%eth0"}]`, "1 2 3", 3, false},
		{"bad domain", `[{"server_id":1,"domain":"<script>"}]`, "1", 1, false},
		{"elements that are none", `[null,1,"x",[],{"server_id":{}},{"server_id":-1},{"server_id":1.5},{"server_id":2}]`, "- - - - - - - 2", 7, false},
		{"unknown fields", `[{"server_id":1,"x":{"deep":[[[]]]}}]`, "1", 0, false},
		{"null", `null`, "", 0, true},
		{"a text", `"x"`, "", 0, true},
		{"an object of something else", `{"success":true}`, "", 0, true},
		{"cut", `[{"server_id":1},{"ser`, "", 0, true},
		{"two values", `[] []`, "", 0, true},
		{"nothing", ` `, "", 0, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			list, err := decodeList([]byte(c.body))
			if (err != nil) != c.fails {
				t.Fatalf("error %v", err)
			}
			var ids []string
			bad := 0
			for _, s := range list {
				if s.ID == "" {
					s.ID = "-"
				}
				if ids = append(ids, s.ID); s.Bad {
					bad++
				}
			}
			if got := strings.Join(ids, " "); got != c.ids || bad != c.bad {
				t.Errorf("ids %q, bad %d", got, bad)
			}
		})
	}
	list, err := decodeList([]byte(`[{"server_id":1,"ip":" ::ffff:203.0.113.10 ","domain":"Alpha.Example.NET."}]`))
	if err != nil || !same(list[0].IP, "203.0.113.10") || !same(list[0].Domain, "alpha.example.net") {
		t.Error("addresses are not canonical")
	}
}

func TestDecodeDetails(t *testing.T) {
	d, err := decodeDetails([]byte(`{"status":"Active","cpu_cores":"2","ram_limit":4096.0,"ram_used":null,"disk_limit":-5,"disk_usage":1e99,"os":"kvm-win-2022","ip":"203.0.113.10",
		"additional_ip":"203.0.113.11","dns_servers":null,"active_task":null,"last_tasks":[{"results":"Password: canary"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if d.Status != "active" || *d.CPU != 2 || *d.RAMMB != 4096 || d.UsedRAMMB != nil || d.DiskMB != nil || d.UsedDiskMB != nil || !d.Windows() {
		t.Errorf("%+v", d)
	}
	if !same(d.IP, "203.0.113.10") || len(d.Additional) != 1 || !same(d.Additional[0], "203.0.113.11") {
		t.Error("addresses")
	}
	for _, body := range []string{`{}`, `[]`, `null`, ``, `{"status":`, `{"os":"x"}`, `{"last_tasks":[]}`} {
		if _, err := decodeDetails([]byte(body)); err == nil {
			t.Errorf("%s was taken for details", body)
		}
	}
}

func TestDecodeIPs(t *testing.T) {
	for body, want := range map[string]int{`[{"ips":["203.0.113.1","2001:db8::1"]}]`: 2, `{"ips":["203.0.113.1"]}`: 1, `{"ips":[]}`: 0, `[]`: 0, `{"ips":null}`: 0,
		`{"ips":"203.0.113.1"}`: 1, `[{"ips":["203.0.113.1"]},{"ips":["203.0.113.2","x",null,7,{}]}]`: 2} {
		if ips, err := decodeIPs([]byte(body)); err != nil || len(ips) != want {
			t.Errorf("%s: %d, %v", body, len(ips), err)
		}
	}
	for _, body := range []string{``, `null`, `"x"`, `["203.0.113.1"]`, `{"ips":`} {
		if _, err := decodeIPs([]byte(body)); err == nil {
			t.Errorf("%s was accepted", body)
		}
	}
}

func TestDecodeServiceAndOSes(t *testing.T) {
	for body, want := range map[string]string{`{"service":{"id":"1","status":"Suspended","total":"9.99"}}`: "suspended", `{"service":{"status":null}}`: "", `{"service":{"status":"<b>"}}`: ""} {
		if got, err := decodeService([]byte(body)); err != nil || got != want {
			t.Errorf("%s: %q, %v", body, got, err)
		}
	}
	for _, body := range []string{`{}`, `{"service":null}`, `{"service":[]}`, `[]`, ``} {
		if _, err := decodeService([]byte(body)); err == nil {
			t.Errorf("%s was accepted", body)
		}
	}
	oses, err := decodeOSes([]byte(`[{"os":"kvm-ubuntu-24.04-gpt-x86_64","title":"Ubuntu\u001b[31m 24.04","name":"x"},{"os":null},{"title":"x"},7]`))
	if err != nil || len(oses) != 1 || oses[0].Code != "kvm-ubuntu-24.04-gpt-x86_64" || oses[0].Title != "Ubuntu[31m 24.04" {
		t.Errorf("%v, %v", oses, err)
	}
	for _, body := range []string{`null`, `{}`, ``} {
		if _, err := decodeOSes([]byte(body)); err == nil {
			t.Errorf("%s was accepted", body)
		}
	}
}

func TestDecodeTask(t *testing.T) {
	at := time.Date(2026, 9, 1, 10, 25, 30, 0, time.UTC)
	cases := []struct {
		name, body string
		done       bool
		completed  time.Time
		results    string
	}{
		{"not yet, empty texts", `{"name":"server_reboot","activated":"2026-09-01T10:25:24+00:00","assigned":"","completed":"","results":""}`, false, time.Time{}, ""},
		{"not yet, null", `{"name":"server_reboot","activated":null,"assigned":null,"completed":null,"results":null}`, false, time.Time{}, ""},
		{"not yet, absent", `{"name":"server_reboot"}`, false, time.Time{}, ""},
		{"not yet, zero date", `{"name":"server_reboot","completed":"0000-00-00 00:00:00"}`, false, time.Time{}, ""},
		{"RFC 3339", `{"name":"x","completed":"2026-09-01T12:25:30+02:00","results":"ok \u00e9\ud83d\ude00\n\"q\""}`, true, at, "ok é😀\n\"q\""},
		{"naive", `{"name":"x","completed":"2026-09-01 10:25:30"}`, true, at, ""},
		{"some other form", `{"name":"x","completed":"01/09/2026","results":{"a":1}}`, true, time.Time{}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			task, err := decodeTask([]byte(c.body))
			if err != nil || task.Done != c.done || !task.Completed.Equal(c.completed) || !same(task.Results, c.results) {
				t.Errorf("%+v, %v", task, err)
			}
		})
	}
	for _, body := range []string{`{}`, `[]`, `null`, ``, `{"results":"x"}`} {
		if _, err := decodeTask([]byte(body)); err == nil {
			t.Errorf("%s was accepted", body)
		}
	}
	for _, body := range []string{`{}`, `{"task_id":null}`, `{"task_id":0}`, `{"task_id":"a"}`, `[7]`} {
		if _, err := decodeStarted([]byte(body)); err == nil {
			t.Errorf("%s was accepted", body)
		}
	}
	for _, body := range []string{`{"task_id":7}`, `{"task_id":"7"}`} {
		if id, err := decodeStarted([]byte(body)); err != nil || id != "7" {
			t.Errorf("%s: %q, %v", body, id, err)
		}
	}
}

func TestParsePassword(t *testing.T) {
	for results, want := range map[string]string{
		`<a href="#" onclick='this.innerHTML = "p4ss&amp;w&lt;rd"'>Show</a>`: `p4ss&w<rd`,
		`<a onclick="this.innerHTML = 'p4ss'; return false">Show</a>`:        `p4ss`,
		`<a onclick="this.innerHTML=&quot;p4ss&quot;">Show</a>`:              `p4ss`,
		`<a onclick='this.innerHTML = "a\"b\\c\/d"'>Show</a>`:                `a"b\c/d`,
		`Password: p4ss`: `p4ss`,
		"Server rebuilt.\nNEW PASSWORD:  p4ss!#%\nEnjoy": `p4ss!#%`,
		`Root password:p4ss`:                             `p4ss`,
		`New password: p&amp;4`:                          `p&4`,
		`New password: p4ss<br>Login: root`:              `p4ss`,
		`Password: a<cd`:                                 `a<cd`,
		`Password: <a href="#" onclick='this.innerHTML = "p4ss"'>Show</a>`: `p4ss`,
		`Password: <b>hidden</b>`:                   ``,
		`<a onclick='this.innerHTML = "<b>x</b>"'>`: ``,
		`done`:                                  ``,
		``:                                      ``,
		`Password: ` + strings.Repeat("x", 257): ``,
		"Password: a\x00b":                      ``,
	} {
		got, ok := parsePassword(secret.FromString(results))
		if ok != (want != "") || ok && !same(got, want) {
			t.Errorf("%q: found %t", results, ok)
		}
	}
}

// unquote must agree with encoding/json wherever that accepts a string.
func FuzzUnquote(f *testing.F) {
	for _, s := range []string{`"a"`, `""`, `"\u00e9\ud83d\ude00"`, `"\ud800x"`, `"\ud800\ud800"`, `"\n\t\\\/\""`, `"é"`, `null`, `"\ud800\u0041"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var want string
		if !json.Valid(b) || json.Unmarshal(b, &want) != nil || string(b) == "null" {
			_ = unquote(b) // must not panic
			return
		}
		if got := strings.ToValidUTF8(string(unquote(trim(b))), "\ufffd"); got != strings.ToValidUTF8(want, "\ufffd") && !strings.ContainsRune(want, '\ufffd') {
			t.Errorf("%q: %q, want %q", b, got, want)
		}
	})
}

func trim(b []byte) []byte { return []byte(strings.Trim(string(b), " \t\r\n")) }

// fuzzReply feeds a decoder: whatever comes, no panic, and nothing of the input in an error.
func fuzzReply(f *testing.F, seeds []string, decode func([]byte) (string, error)) {
	for _, s := range append(seeds, ``, `null`, `{}`, `[]`, `[{}]`, `"x"`, `{"error":["x"]}`, `[[[[`, `{"a":{"b":`, "\xff\xfe", `{"server_id":1e400}`) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		printed, err := decode(b)
		if err != nil && len(b) > 30 && strings.Contains(replyFault(err).Error(), string(b)) {
			t.Error("the input is in the error")
		}
		if i := strings.Index(string(b), "canary"); i >= 0 && strings.Contains(printed, "canary-secret") {
			t.Errorf("a secret was printed: %s", printed)
		}
	})
}

func FuzzList(f *testing.F) {
	fuzzReply(f, []string{`[{"server_id":300411,"domain":"alpha.example.net","ip":"203.0.113.10"}]`, `{"id":"1"}`}, func(b []byte) (string, error) {
		list, err := decodeList(b)
		for _, s := range list {
			if s.ID != "" && !validID(s.ID) {
				panic("an id that is none")
			}
		}
		return fmt.Sprintf("%+v", list), err
	})
}

func FuzzDetails(f *testing.F) {
	fuzzReply(f, []string{`{"status":"Active","cpu_cores":2,"ram_limit":1,"additional_ip":[1,null,"203.0.113.1"],"last_tasks":[{"results":"Password: canary-secret"}]}`}, func(b []byte) (string, error) {
		d, err := decodeDetails(b)
		return fmt.Sprintf("%+v", d.Additional), err
	})
}

func FuzzTask(f *testing.F) {
	fuzzReply(f, []string{`{"name":"server_reset_password","completed":"2026-09-01 10:00:00","results":"Password: canary-secret"}`, `{"task_id":7}`}, func(b []byte) (string, error) {
		task, err := decodeTask(b)
		_, _ = decodeStarted(b)
		if p, ok := parsePassword(task.Results); ok && (p.IsZero() || p.Len() > maxPassword) {
			panic("a password that is none")
		}
		return fmt.Sprintf("%+v", task.Results), err
	})
}

func FuzzServiceIPsOSes(f *testing.F) {
	fuzzReply(f, []string{`{"service":{"status":"Suspended"}}`, `[{"ips":["203.0.113.1"]}]`, `{"ips":"x"}`, `[{"os":"a","title":"b"}]`}, func(b []byte) (string, error) {
		_, err := decodeService(b)
		ips, _ := decodeIPs(b)
		_, _ = decodeOSes(b)
		return fmt.Sprintf("%+v", ips), err
	})
}

func FuzzErrors(f *testing.F) {
	for _, s := range []string{`{"error":[["wait_x_between_action",24],"unauthorized"]}`, `{"error":["wronglogin"]}`, `{"error":"x"}`, `{"error":[[]]}`, `{"error":[[1,2]]}`, `{"error":null}`, `{"error":[["wait_x_between_action","24"]]}`} {
		f.Add([]byte(s), 401)
	}
	f.Fuzz(func(t *testing.T, b []byte, status int) {
		err := classify(status, b)
		if d, ok := throttledFor(err); ok && (d < time.Second || d > maxThrottle*time.Second) {
			t.Errorf("a wait of %v", d)
		}
		if err == nil && (status < 200 || status > 299) {
			t.Error("an answer with a failing status")
		}
	})
}

func FuzzPassword(f *testing.F) {
	f.Add([]byte(`<a onclick='this.innerHTML = "p4ss&amp;"'>`))
	f.Add([]byte(`Password: x<br>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parsePassword(secret.New(b))
		if ok && (p.IsZero() || p.Len() > maxPassword) {
			t.Errorf("a password of %d bytes", p.Len())
		}
	})
}
