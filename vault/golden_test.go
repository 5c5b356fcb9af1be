package vault

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/internal/keys/keystest"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// fixed gives an id of a kind that is always the same.
func fixed(k id.Kind) string { return string(k) + "_" + strings.Repeat("a", 26) }

// earlierRun is the key of a run as it was written before runs named their machine.
var earlierRun = string(id.Run) + "_" + strings.Repeat("b", 26)

// goldenRows is one record of each collection, every field of it set, under its key; and what earlier releases wrote otherwise.
func goldenRows() []goldenRow {
	at := func(minute int) time.Time { return time.Date(2026, 8, 1, 12, minute, 0, 5000, time.UTC) }
	res, lse, run, agt, srv := fixed(id.Resource), fixed(id.Lease), fixed(id.Run), fixed(id.Agent), fixed(id.Server)
	sealed := map[string]Sealed{"host": {Value: "zvh1:AQIDBAUGBwg", Version: 2, Class: "9-16"}}
	resource := Resource{
		Format: 1, ID: res, Handle: "prod_vps_1", Kind: "server", Attrs: map[string]string{"user": "deploy"}, Sealed: sealed, Labels: map[string]string{"env": "prod"},
		Project: "default", Status: Active, Version: 2, CreatedAt: at(0), UpdatedAt: at(1), UpdatedBy: "operator", Why: "a new address", Source: "sops:secrets.yaml", MovesTo: "prod_vps_2",
		Policy: policy.Policy{
			Agents: []string{"local"}, Deliveries: []policy.Delivery{policy.SSH}, Approval: policy.ApprovalAlways, MinLevel: policy.LevelSealed, MaxUses: 9, MaxTTL: 600,
			Hosts:   []policy.HostRule{{Host: "api.example.org", Port: 8443, Methods: []string{"GET"}, Paths: []string{"/v1/*"}, Deny: []string{"POST:/keys"}, KeyEndpoints: true}},
			Pins:    []policy.Pin{{Name: "deploy", Argv: []string{"/usr/bin/deploy", "{n:int}"}, SHA256: strings.Repeat("0a", 32), Cwd: "/srv", Env: []string{"STAGE"}, Stdin: true, Open: true, Files: map[string]string{"/srv/deploy.sh": strings.Repeat("0b", 32)}}},
			Expires: at(2), Resolve: []string{"api.example.org=192.0.2.1"}, Private: true, UpstreamCA: "-----BEGIN CERTIFICATE-----\n", Exec: []string{"uptime"}, SFTP: true, SSHAgent: true, PassThrough: []string{"registry.example.org:8443"},
		},
	}
	lease := Lease{
		Format: 1, ID: lse, Agent: agt, Context: "thread 7", Resource: res, Handle: "prod_vps_1", Project: "default", Purpose: "deploy <the bot> & look",
		Demand: Demand{RAMMB: 512, DiskMB: 1024, CPU: 1, Ports: []int{8080}, Services: map[string]int{"backend": 0}}, Ports: []int{8080}, Services: map[string]int{"backend": 8000}, Implicit: true, MaxUses: 3, Used: 1, Redactions: 2,
		IdemKey: "once", IdemDigest: "0a0b", CreatedAt: at(0), ExpiresAt: at(30), ReleasedAt: at(5), ReleasedWhy: "released",
	}
	agent := Agent{
		Format: 1, ID: agt, Name: "claude", Role: RoleAgent, TokenHash: id.HashToken("zvh_agt_"), Rate: Rate{PerMinute: 60, Concurrent: 2}, Scopes: []Scope{ScopeRead}, Attended: true, CreatedAt: at(0),
		Grants: Grants{Projects: []string{"default"}, Kinds: []string{"*"}, Labels: []string{"env=prod"}},
	}
	server := Server{
		Format: 1, ID: srv, Provider: "time4vps", ProviderID: "12345", ResourceID: res, Sealed: sealed, Prints: map[string]string{"ip": "0a0b"}, Status: "missing", StatusWas: "active",
		IsManaged: true, Intent: "yes", Ghost: true, CPU: 2, RAMMB: 2048, DiskMB: 20480, UsedRAMMB: 100, UsedDiskMB: 200, OS: "debian-13", Missing: 1,
		ObservedAt: at(0), LastSeen: at(1), HealthAt: at(2), CreatedAt: at(3), Labels: map[string]string{"env": "prod"}, Version: 4,
	}
	execution := Run{
		Format: 1, ID: run, Actor: Actor{Type: audit.Agent, ID: agt, Name: "claude", Door: "stdio", Context: "thread 7"}, Owner: fixed(id.Replica), Host: "vps-1", Leases: []string{lse}, Handles: []string{"prod_vps_1"},
		Approval: fixed(id.Approval), Command: []string{"ssh", "prod_vps_1", "uptime"}, Isolation: "in_process", Delivered: map[string]string{"prod_vps_1": "ssh"}, Background: true, State: RunFailed,
		ExitCode: 125, Code: "connection_failed", Message: "the server is not reached", Next: "try again", Redactions: 1, OutBytes: 42, StartedAt: at(0), EndedAt: at(1),
	}
	earlier := execution // of a release that did not name the machine
	earlier.ID, earlier.Host = earlierRun, ""
	project := Project{Format: 1, ID: fixed(id.Project), Slug: "default", Title: "All", Former: "2b1c4c1e-6f7a-4a64-9a35-0f7c9be1d0aa", CreatedAt: at(0)}
	meta := SecretMeta{Version: 3, Type: SecretUser, Class: "medium", Check: CheckVerified, CreatedAt: at(0), UpdatedAt: at(1), UpdatedBy: "operator", Why: "a new one"}
	config := ProjectConfig{
		Format: 1, Project: project.ID, Version: 4, Known: map[string]SecretMeta{"API_KEY": meta}, UpdatedAt: at(2), UpdatedBy: "ci",
		Config: Settings{Secrets: map[string]string{"API_KEY": "zvh1:AQIDBAUGBwg"}, EnvHints: map[string]string{"API_KEY": "of the weather service"}, Other: map[string]json.RawMessage{"modules": json.RawMessage(`["backend"]`)}},
	}
	former := FormerSecret{Format: 1, Project: project.ID, Name: "API_KEY", Value: "zvh1:AQIDBAUGBwg", Known: meta}
	environment := Environment{
		Format: 1, Resource: res, Project: project.ID, Digest: "0a0b", Environment: "production", Names: []string{"A"}, Supplied: map[string]string{"A": "1"}, CreatedAt: at(0), CreatedBy: "claude",
		Contract: &contract.Contract{Format: 1, Owners: []string{"backend"}, Entries: map[string]contract.Entry{"A": {
			Attribute: "username", Consumers: []string{"backend"}, Description: "d", Environments: []string{"production"}, Form: contract.Hex, Required: true, Resource: "bot", Sensitive: true,
			Service: "backend", Source: contract.Derived, Template: "${B}", Value: "1",
		}}},
	}
	workdir := Workdir{Format: 1, ID: fixed(id.Workdir), Path: "/srv/app", Mode: WorkdirOverlay, Agents: []string{"claude"}, Project: "default", CreatedAt: at(0), CreatedBy: "operator"}
	rotation := Rotation{
		Format: 1, Resource: res, Method: "ssh_key", Step: RotationSwitched, Base: 2, From: map[string]uint64{"host": 2}, Sealed: map[string]Sealed{"ssh_key": {Value: "zvh1:AQIDBAUGBwg", Version: 2, Class: "long"}},
		Notes: map[string]string{"old": "ssh-ed25519 AAAA"}, OverlapS: 3600, Purge: true, Switched: 3, Until: at(60), Code: "connection_failed", Message: "the server is not reached", Next: "try again", BegunAt: at(0), BegunBy: "operator", At: at(1),
	}
	kept := []int{512, 2048, 1}
	reserve := Reserve{Format: 1, RAMMB: &kept[0], DiskMB: &kept[1], CPU: &kept[2], Ports: PortRanges{{8000, 8999}, {9100, 9100}}, KeptPorts: PortRanges{{8080, 8080}}, Version: 1, UpdatedAt: at(1), UpdatedBy: "operator"}
	intake := Intake{
		Format: 1, ID: fixed(id.Intake), Project: "default", Key: "API_KEY", Kind: "api_key", Handle: "openai_main", Reason: "to ask the model", Agent: agt, By: "claude", Context: "thread 7", State: IntakeGiven,
		Code: codeDigest(fixed(id.Intake), "AAAA-BBBB-CCCC-DDDD"), Tries: 1, CreatedAt: at(0), ExpiresAt: at(30), EndedAt: at(1), EndedBy: "operator", Why: "use the test key", Gave: "openai_main",
	}
	replica := Replica{Format: 1, ID: fixed(id.Replica), Host: "a.example", PID: 7, Version: "v1", StartedAt: at(0), Beat: 9}
	approval := Approval{
		Format: 1, ID: fixed(id.Approval), Digest: "0a0b", Actor: execution.Actor, Isolation: "sealed", State: ApprovalSpent, CreatedAt: at(0), ExpiresAt: at(60), DecidedAt: at(1), DecidedBy: "operator", Why: "for once", EndedAt: at(2), Run: run,
		Uses: []ApprovalUse{{Resource: res, Handle: "prod_vps_1", Kind: "server", Project: "default", Version: 2, Policy: "0a0b", Lease: lse, Delivery: "ssh", Asks: "always"}},
		Call: ApprovalCall{
			Sort: "run", Argv: []string{"ssh", "prod_vps_1", "uptime"}, Pin: "deploy", Cwd: "/srv", Folders: []string{"ro /srv"}, Env: map[string]string{"STAGE": "prod"}, Stdin: &ApprovalText{Bytes: 2, SHA256: "0a0b", Text: "hi"},
			Method: "POST", URL: "https://api.example.org/v1", Headers: map[string]string{"Accept": "*/*"}, Body: &ApprovalText{Bytes: 2, SHA256: "0a0b", Text: "hi"}, Capture: "generic made value=/key", TimeoutS: 60, Background: true,
			Purpose: "deploy <the bot> & look", Context: "thread 7",
		},
	}
	to := func(target string) link { return link{target} }
	return []goldenRow{
		{string(cResources), res, resource, &Resource{}}, {string(cVersions), versionKey(res, 1), resource, &Resource{}}, {string(cHandles), "prod_vps_1", to(res), &link{}},
		{string(cCounters), res, counter{7}, &counter{}}, {string(cLeases), lse, lease, &Lease{}}, {string(cLive), res + "/" + lse, to(lse), &link{}},
		{string(cIdem), idemKey(agent, AllocateRequest{IdemKey: "once"}), idemRow{Lease: lse, Digest: "0a0b", Until: at(30)}, &idemRow{}},
		{string(cAgents), agt, agent, &Agent{}}, {string(cAgentNames), "claude", to(agt), &link{}}, {string(cTokens), agent.TokenHash, to(agt), &link{}},
		{string(cProjects), "default", project, &Project{}}, {string(cServers), srv, server, &Server{}}, {string(cServerOf), res, to(srv), &link{}},
		{string(cSync), "time4vps", SyncState{Body: json.RawMessage(`{"last_success":"2026-08-01T12:00:00Z"}`)}, &SyncState{}},
		{string(cRuns), run, execution, &Run{}}, {string(cRuns), earlierRun, earlier, &Run{}}, {string(cLiveRuns), run, to(run), &link{}}, {string(cWorkdirs), workdirKey("/srv/app"), workdir, &Workdir{}},
		{string(cRotations), res, rotation, &Rotation{}},
		{string(cReserves), res, reserve, &Reserve{}}, {string(cEnvironments), environmentKey(project.ID, environment.Digest), environment, &Environment{}},
		{string(cBridges), bridgeKey, Bridge{Format: 1, Table: "projects", Sealed: map[string]Sealed{"key": {Value: "zvh1:AQIDBAUGBwg", Version: 2, Class: "medium"}}, Version: 2, Since: at(0), By: "operator"}, &Bridge{}},
		{string(cIntakes), intake.ID, intake, &Intake{}},
		{string(cReplicas), replica.ID, replica, &Replica{}}, {string(cSettings), lockdownKey, Lockdown{Format: 1, ID: fixed(id.Errand), By: replica.ID}, &Lockdown{}},
		{string(cApprovals), approval.ID, approval, &Approval{}}, {string(cAsked), askedKey(approval), to(approval.ID), &link{}},
		{string(cWords), wordKey(agt, res), word{Format: 1, Approval: approval.ID, Version: 2, Policy: "0a0b", At: at(3)}, &word{}},
		{string(cProjectIDs), project.ID, to("default"), &link{}}, {string(cConfigs), project.ID, config, &ProjectConfig{}}, {string(cFormer), formerKey(project.ID, "API_KEY", 3), former, &FormerSecret{}},
	}
}

type goldenRow struct {
	collection, key string
	value, into     any
}

// Every record is written as the committed bytes say, and they are read back whole. A field that is new must be set in goldenRows.
func TestGoldenRecords(t *testing.T) {
	rows := goldenRows()
	want := keystest.Golden(t, "vault_records.golden", func() []byte { return encodeRows(t, rows) })
	if got := encodeRows(t, rows); !bytes.Equal(got, want) {
		t.Errorf("written now:\n%s", got)
	}
	lines := strings.Split(strings.TrimSuffix(string(want), "\n"), "\n")
	if len(lines) != len(rows) {
		t.Fatalf("%d lines for %d records", len(lines), len(rows))
	}
	for i, line := range lines {
		r := rows[i]
		d := json.NewDecoder(strings.NewReader(strings.SplitN(line, " ", 3)[2]))
		d.DisallowUnknownFields()
		if err := d.Decode(r.into); err != nil {
			t.Errorf("%s: %v", r.collection, err)
		}
		if got := reflect.ValueOf(r.into).Elem().Interface(); !reflect.DeepEqual(got, r.value) {
			t.Errorf("%s is read as\n%+v\nnot\n%+v", r.collection, got, r.value)
		}
		for _, name := range unset(reflect.ValueOf(r.value), "") {
			if r.key != earlierRun || name != ".Host" {
				t.Errorf("%s: the golden record does not set %s", r.collection, name)
			}
		}
	}
}

func encodeRows(t *testing.T, rows []goldenRow) []byte {
	var out bytes.Buffer
	for _, r := range rows {
		body, err := json.Marshal(r.value)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(r.collection + " " + r.key + " " + string(body) + "\n")
	}
	return out.Bytes()
}

// unset names the fields that are written and have no value.
func unset(v reflect.Value, at string) (names []string) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			break
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				names = append(names, unset(v.Field(i), at+"."+f.Name)...)
			}
		}
		return names
	case reflect.Slice:
		if v.Len() > 0 && v.Type().Elem().Kind() == reflect.Struct {
			return unset(v.Index(0), at)
		}
	}
	if v.IsZero() {
		return []string{at}
	}
	return nil
}

// A page's cursor outlives the daemon that gave it.
func TestGoldenCursor(t *testing.T) {
	if c := encodeCursor("prod_vps_1"); c != "cHJvZF92cHNfMQ" {
		t.Errorf("the cursor is %q", c)
	}
	if key, err := decodeCursor("cHJvZF92cHNfMQ"); err != nil || key != "prod_vps_1" {
		t.Errorf("%q %v", key, err)
	}
}
