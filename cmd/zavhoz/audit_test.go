package main

import (
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/audit"
)

func TestAuditTellsWhereARunWent(t *testing.T) {
	for _, c := range []struct {
		action audit.Action
		detail map[string]string
		want   string
	}{
		{audit.EgressRequest, map[string]string{"host": "api.example", "port": "443", "method": "POST", "path": "/v1", "status": "200"}, "POST api.example 200"},
		{audit.EgressRequest, map[string]string{"host": "pypi.example", "port": "8443", "decision": "tunnel"}, "pypi.example:8443"},
		{audit.EgressServer, map[string]string{"kind": "exec", "command": "uptime"}, "uptime"},
		{audit.EgressDatabase, map[string]string{"event": "opened", "connection": "1"}, "opened"},
		{audit.VaultUnlock, map[string]string{"by": "file"}, "by=file"},
		{audit.RunStop, map[string]string{"state": "stopped", "host": "no.example"}, ""},
	} {
		if got := inShort(audit.Record{Event: audit.Event{Action: c.action, Detail: c.detail}}); got != c.want {
			t.Errorf("%s %v reads %q, want %q", c.action, c.detail, got, c.want)
		}
	}
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{"24h": "2026-11-24T12:00:00Z", "2026-01-02T15:04:05Z": "2026-01-02T15:04:05Z", "": "", "-1h": "-1h"} {
		if got := sinceTime(in, now); got != want {
			t.Errorf("since %q is %q, want %q", in, got, want)
		}
	}
}
