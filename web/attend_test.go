package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web"
	"github.com/zavhoz/zavhoz/web/api"
)

// Attend answers on the connection with what it was asked for, and then says what it hears.
func (r *runs) Attend(_ context.Context, _ vault.Actor, in api.AttendRun, upgrade func() (net.Conn, error)) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r.note("attend " + string(b))
	if strings.Join(in.Refs, "") == "nobody" {
		return fault.New(fault.UnknownResource, "there is no such resource", "")
	}
	c, err := upgrade()
	if err != nil {
		return err
	}
	defer c.Close()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	_, err = io.WriteString(c, "heard "+line)
	return err
}

// attend asks for an upgraded connection.
func (c *client) attend(body string, header ...string) *http.Response {
	c.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://zavhoz/api/v1/runs/attend", strings.NewReader(body))
	must(c.t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	must(c.t, err)
	c.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

var upgrading = []string{"Connection", "Upgrade", "Upgrade", "zavhoz-run/1"}

func TestAttendTakesTheConnectionOver(t *testing.T) {
	h := newHouse(t)
	c := h.sit(1)
	h.fill(c)
	resp := c.attend(`{"refs":["bot"],"command":["sh"],"terminal":{"rows":24,"cols":80,"term":"xterm"}}`, upgrading...)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	rw := resp.Body.(io.ReadWriteCloser)
	_, err := io.WriteString(rw, "hello\n")
	must(t, err)
	if got, err := io.ReadAll(rw); err != nil || string(got) != "heard hello\n" {
		t.Fatalf("%q, %v", got, err)
	}
	if !h.runs.has(`"term":"xterm"`) {
		t.Error("the request was not passed on")
	}
}

func TestAttendIsRefusedAsAProblem(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	h := newHouse(t, func(o *web.Options) {
		o.Folder = func(path string, force bool) error {
			if path != dir && !force {
				return fault.New(fault.WorkdirRefused, "the folder holds a whole home", "")
			}
			return nil
		}
	})
	c := h.sit(1)
	for name, b := range map[string]struct {
		body   string
		header []string
		code   fault.Code
	}{
		"no upgrade":       {`{"command":["sh"]}`, nil, fault.InvalidArgument},
		"another protocol": {`{"command":["sh"]}`, []string{"Connection", "Upgrade", "Upgrade", "websocket"}, fault.InvalidArgument},
		"unknown field":    {`{"command":["sh"],"secrets":{}}`, upgrading, fault.InvalidArgument},
		"unknown resource": {`{"refs":["nobody"],"command":["sh"]}`, upgrading, fault.UnknownResource},
		"relative folder":  {`{"command":["sh"],"folders":[{"path":"src","mode":"rw"}]}`, upgrading, fault.InvalidArgument},
		"the root":         {`{"command":["sh"],"folders":[{"path":"/","mode":"ro"}]}`, upgrading, fault.InvalidArgument},
		"a whole home":     {`{"command":["sh"],"folders":[{"path":"/home/somebody","mode":"ro"}]}`, upgrading, fault.WorkdirRefused},
		"too many folders": {`{"command":["sh"],"folders":[` + strings.Repeat(`{"path":"/srv/x","mode":"ro"},`, 64) + `{"path":"/srv/x","mode":"ro"}]}`, upgrading, fault.InvalidArgument},
	} {
		resp := c.attend(b.body, b.header...)
		text, err := io.ReadAll(resp.Body)
		must(t, err)
		if a := (answer{resp.StatusCode, resp.Header, string(text)}); a.code() != b.code {
			t.Errorf("%s: %d %s, want %s", name, a.status, a.body, b.code)
		}
	}
	if h.runs.has(`"path"`) {
		t.Error("a folder that may not be opened came through")
	}
	quoted, err := json.Marshal(dir)
	must(t, err)
	if resp := c.attend(`{"command":["sh"],"folders":[{"path":`+string(quoted)+`,"mode":"rw"},{"path":"/srv/forced","mode":"ro","force":true}]}`, upgrading...); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Error(resp.Status)
	}
}

// A confined run gives no value away, but it acts as the operator: from where nobody has proven to be present it is refused.
func TestAttack70_AnAttendedRunAsksForPresence(t *testing.T) {
	h := newHouse(t)
	person, agent := h.sit(1), h.sit(2)
	h.setPassphrase(person)
	refused := func(c *client) bool {
		resp := c.attend(`{"command":["sh"]}`, upgrading...)
		text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		must(t, err)
		return answer{resp.StatusCode, resp.Header, string(text)}.code() == fault.PresenceRequired
	}
	if !refused(person) || !refused(agent) {
		t.Fatal("nobody has proven to be present")
	}
	person.ok("POST", "/presence", `{"passphrase":"`+passphrase+`"}`)
	if !refused(agent) {
		t.Error("another place profits from the person's ticket")
	}
	if h.runs.has("attend") {
		t.Error("a refused request was passed on")
	}
	if resp := person.attend(`{"command":["sh"]}`, upgrading...); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Error(resp.Status)
	}
}
