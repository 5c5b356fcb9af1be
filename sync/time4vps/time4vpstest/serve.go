package time4vpstest

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Running is a simulator that listens.
type Running struct {
	URL string // the base URL: http://127.0.0.1:port/api
	sim *Sim
	srv *http.Server
	end chan struct{}
}

// Start serves the simulator on a free port of loopback.
func (s *Sim) Start() (*Running, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Running{URL: "http://" + l.Addr().String() + "/api", sim: s, end: make(chan struct{}), srv: &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}}
	go func() {
		defer close(r.end)
		_ = r.srv.Serve(l)
	}()
	return r, nil
}

// Close ends the server and its hanging replies.
func (r *Running) Close() {
	r.sim.Close()
	_ = r.srv.Close()
	<-r.end
}

// Handler is the simulator as a handler, for a server of the caller's (with TLS, say). Paths begin with /api.
func (s *Sim) Handler() http.Handler { return s }

// ServeHTTP answers as the provider.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/api")
	if !ok {
		http.NotFound(w, r)
		return
	}
	path = strings.TrimRight(path, "/")
	s.mu.Lock()
	s.counts[r.Method+" "+path]++
	user, password, _ := r.BasicAuth()
	known := subtle.ConstantTimeCompare([]byte(user+"\x00"+password), []byte(s.user+"\x00"+s.password)) == 1
	rule := s.rule(r.Method, path)
	s.mu.Unlock()
	switch {
	case rule != nil:
		rule(s, w, r)
	case !known:
		WrongLogin(s, w, r)
	default:
		status, body := s.answer(r.Method, strings.Split(strings.TrimPrefix(path, "/"), "/"))
		reply(w, status, body)
	}
}

func reply(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// answer is the API proper.
func (s *Sim) answer(method string, p []string) (int, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if method == http.MethodGet && len(p) == 1 && p[0] == "server" {
		return 200, s.list()
	}
	if len(p) < 2 {
		return 404, []byte(`{"error":["Not found"]}`)
	}
	id, _ := strconv.Atoi(p[1])
	v := s.servers[id]
	what := method + " " + p[0] + "/" + strings.Join(p[2:min(len(p), 3)], "")
	switch {
	case what == "GET service/" && v != nil:
		return 200, s.service(v)
	case p[0] == "service":
		return 404, []byte(`{"error":["Invalid service ID"]}`)
	case v == nil:
		return 404, []byte(`{"error":["Invalid server ID"]}`)
	case what == "GET server/":
		return 200, s.details(v)
	case what == "GET server/ips":
		return 200, s.ips(v)
	case what == "GET server/oses":
		return 200, []byte(`[{"os":"kvm-ubuntu-24.04-gpt-x86_64","title":"Ubuntu 24.04 LTS"},{"os":"kvm-win-2022","title":"Windows 2022"}]`)
	case what == "GET server/task" && len(p) == 4:
		return s.poll(v, p[3])
	case what == "POST server/reboot":
		return 200, s.begin(v, "server_reboot")
	case what == "POST server/resetpassword":
		return 200, s.begin(v, "server_reset_password")
	}
	return 404, []byte(`{"error":["Not found"]}`)
}

// list renders active servers; it is kept until something changes, so that a benchmark measures the client.
func (s *Sim) list() []byte {
	if s.listing != nil {
		return s.listing
	}
	var b bytes.Buffer
	n := 0
	for _, id := range s.order {
		v := s.servers[id]
		if !strings.EqualFold(v.Status, "Active") && v.Raw == "" {
			continue
		}
		if n++; n > 1 {
			b.WriteByte(',')
		}
		s.brief(&b, v)
	}
	if !s.style.SingleObject || n != 1 {
		s.listing = append(append([]byte{'['}, b.Bytes()...), ']')
	} else {
		s.listing = b.Bytes()
	}
	return s.listing
}

func (s *Sim) brief(b *bytes.Buffer, v *Server) {
	if v.Raw != "" {
		b.WriteString(v.Raw)
		return
	}
	key, id := "server_id", strconv.Itoa(v.ID)
	if s.style.PlainID {
		key = "id"
	}
	if s.style.QuotedIDs {
		id = strconv.Quote(id)
	}
	fmt.Fprintf(b, `{"%s":%s,"domain":%q,"ip":%q,"date_created":"2026-01-15","synch_date":"2026-09-01 10:20:00","label":"bots %s","type":"KVM","unknown":{"x":[1]}}`,
		key, id, v.Domain, v.IP, v.IP)
}

func (s *Sim) service(v *Server) []byte {
	b, _ := json.Marshal(map[string]any{"service": map[string]any{
		"id": strconv.Itoa(v.ID), "date_created": "2026-01-15", "domain": v.Domain, "firstpayment": "9.99", "total": "9.99", "billingcycle": "Monthly",
		"next_due": "2026-10-15", "next_invoice": "2026-10-08", "status": v.Status, "label": "bots", "username": "root", "name": "Linux 4",
	}})
	return b
}

// details has what the provider has, the root password in last_tasks twice included.
func (s *Sim) details(v *Server) []byte {
	if v.RawDetails != "" {
		return []byte(v.RawDetails)
	}
	used := any(v.UsedRAMMB)
	if s.style.NullFields {
		used = nil
	}
	b, _ := json.Marshal(map[string]any{
		"synch_date": "2026-09-01T10:20:00+00:00", "package_id": 41, "domain": v.Domain, "label": "bots", "status": v.Status,
		"cpu_frequency": 2600, "cpu_cores": v.Cores, "ram_limit": v.RAMMB, "ram_used": used, "disk_limit": v.DiskMB, "disk_usage": v.UsedDiskMB,
		"bw_limit": 8_388_608, "bw_in": 5120, "bw_out": 2048, "os": v.OS, "ip": v.IP, "additional_ip": v.More, "dns_servers": nil,
		"components": []any{map[string]any{"id": 123, "name": "Daily and weekly backups", "selected": false}}, "active_task": nil,
		"last_tasks": []any{
			map[string]any{"name": "server_recreate", "activated": "2026-09-01T10:25:24+00:00", "completed": "2026-09-01T10:29:00+00:00", "results": anchor(v.RootPassword)},
			map[string]any{"name": "server_reset_password", "activated": "2026-09-01T10:25:24+00:00", "completed": "2026-09-01T10:29:00+00:00", "results": "New password: " + v.RootPassword},
		},
	})
	return b
}

func (s *Sim) ips(v *Server) []byte {
	all := append([]string{v.IP}, v.More...)
	shape := any(map[string]any{"ips": all})
	if !s.style.BareIPs {
		shape = []any{shape}
	}
	b, _ := json.Marshal(shape)
	return b
}
