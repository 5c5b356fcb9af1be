//go:build unix

package tools_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/web/api"
)

// maxReply is about 10,000 tokens.
const maxReply = 40 << 10

// pages reads a list to its end, and gives one field of every element.
func (c *client) pages(tool, filter, list, field string) (all []string, pages int) {
	c.h.t.Helper()
	for cursor := ""; pages < 1000; pages++ {
		r := c.ok(tool, `{`+strings.TrimPrefix(filter+`,"cursor":`+quote(cursor), ",")+`}`)
		if len(r.Data) > maxReply {
			c.h.t.Errorf("page %d of %s has %d bytes", pages, tool, len(r.Data))
		}
		for _, x := range r.list(list) {
			s, _ := x.(map[string]any)[field].(string)
			all = append(all, s)
		}
		cursor = r.str("next_cursor")
		if strings.Contains(r.Text, "next_cursor") != (cursor != "") {
			c.h.t.Errorf("%q, cursor %q", r.Text, cursor)
		}
		if cursor == "" {
			return all, pages + 1
		}
	}
	c.h.t.Fatal("the pages do not end")
	return nil, 0
}

func TestResourcesCome50AtOnce(t *testing.T) {
	h := newHouse(t)
	var want []string
	for i := range 120 {
		want = append(want, fmt.Sprintf("b%03d", i))
		h.addBot(want[i], pinned("/usr/bin/curl", "--max-time", "{seconds:int}", "https://api.telegram.org/"))
	}
	h.addServer("zz")
	c := h.connect("", false)
	got, pages := c.pages("list_resources", `"kind":"telegram_bot"`, "resources", "handle")
	if !slices.Equal(got, want) || pages != 3 {
		t.Errorf("%d in %d pages", len(got), pages)
	}
	if got, _ := c.pages("list_resources", "", "resources", "handle"); len(got) != 121 {
		t.Errorf("%d in all", len(got))
	}
}

// Resources as large as they can be come in smaller pages, each whole or in brief, none twice and none lost.
func TestLargeResourcesComeInSmallPages(t *testing.T) {
	h := newHouse(t)
	var want []string
	labels := map[string]string{}
	for i := range 32 {
		labels[fmt.Sprintf("label-%d", i)] = strings.Repeat("<", 128) // six bytes each, as JSON
	}
	large := policy.Policy{Deliveries: []policy.Delivery{policy.Env}}
	for i := range 30 {
		large.Pins = append(large.Pins, policy.Pin{Name: fmt.Sprintf("pin-%d", i), Argv: []string{"/usr/bin/tool", strings.Repeat("x", 4000), "{n:int}"}})
	}
	for i := range 10 {
		want = append(want, fmt.Sprintf("b%d", i), fmt.Sprintf("c%d", i))
		h.addBot(fmt.Sprintf("b%d", i), large)
		h.add(vault.NewResource{Kind: "generic", Handle: fmt.Sprintf("c%d", i), Secrets: values("value", botToken), Labels: labels})
	}
	slices.Sort(want)
	c := h.connect("", false)
	got, pages := c.pages("list_resources", "", "resources", "handle")
	if !slices.Equal(got, want) || pages < 3 {
		t.Errorf("%v in %d pages", got, pages)
	}
	first := c.ok("list_resources", `{"kind":"telegram_bot"}`)
	if !strings.Contains(string(first.Data), `["pin:pin-3","{n:int}"]`) {
		t.Errorf("no short form: %.300s", first.Data)
	}
}

func TestFiltersAndEmptyLists(t *testing.T) {
	h := newHouse(t)
	c := h.connect("", false)
	if r := c.ok("list_resources", `{}`); !strings.Contains(r.Text, "`zavhoz resource add`") {
		t.Error(r.Text)
	}
	h.addBot("b", policy.Policy{})
	h.add(vault.NewResource{Kind: "generic", Handle: "g", Secrets: values("value", botToken), Labels: map[string]string{"env": "prod"}})
	for filter, want := range map[string]int{
		`{}`: 2, `{"kind":"generic"}`: 1, `{"kind":"server"}`: 0, `{"label":"env"}`: 1, `{"label":"env=prod"}`: 1, `{"label":"env=dev"}`: 0, `{"project":"default"}`: 2, `{"project":"other"}`: 0,
	} {
		r := c.ok("list_resources", filter)
		if len(r.list("resources")) != want || want == 0 && !strings.Contains(r.Text, "without filters") {
			t.Errorf("%s: %s %s", filter, r.Text, r.Data)
		}
	}
}

func TestManagedServers(t *testing.T) {
	h := newHouse(t)
	var machines []machine
	for i := range 130 {
		machines = append(machines, machine{ram: 1024 + i, disk: 20480, cpu: 2, usedRAM: 24})
	}
	machines = append(machines, machine{ram: 9999, disk: 99999, cpu: 32, unmanaged: true}, machine{ram: 9998, disk: 9, cpu: 1, status: "missing"})
	ids := h.sees(machines...)
	h.adopt(ids[0], "mine")
	_, err := h.AddProject(ctx, operator, "other", "")
	must(t, err)
	h.adopt(ids[1], "elsewhere")
	other := "other"
	_, err = h.EditResource(ctx, operator, "elsewhere", vault.Edit{Project: &other})
	must(t, err)

	c := h.connect("", false)
	names, pages := c.pages("list_managed_servers", "", "servers", "name")
	slices.Sort(names)
	if len(slices.Compact(names)) != 130 || pages != 3 || !slices.Contains(names, "mine") || slices.Contains(names, "elsewhere") {
		t.Errorf("%d servers in %d pages", len(names), pages) // 132, less one of another project and one not managed
	}
	for filter, want := range map[string]int{ // 256 MB of each stay free
		`"min_free_ram_mb":844`: 31, `"min_free_ram_mb":99999`: 0, `"min_free_disk_mb":20481`: 0, `"min_free_cpu":3`: 0, `"status":"missing"`: 1, `"status":"active","min_free_ram_mb":844`: 30, `"status":"nothing"`: 0,
	} {
		if got, _ := c.pages("list_managed_servers", filter, "servers", "name"); len(got) != want {
			t.Errorf("%s: %d", filter, len(got))
		}
	}
	c.ok("allocate_resource", `{"handle":"mine","purpose":"x","requirements":{"ram_mb":600,"cpu":2}}`)
	if got, _ := c.pages("list_managed_servers", `"min_free_cpu":1,"status":"active"`, "servers", "handle"); slices.Contains(got, "mine") {
		t.Error("reserved cores are said to be free")
	}
}

// The age of the data is on every answer, and an outage is said in words.
func TestServersTellTheirAge(t *testing.T) {
	h := newHouse(t)
	h.sees(machine{ram: 1024, age: 90 * time.Second})
	c := h.connect("", false)
	age := int64(700)
	for _, s := range []struct {
		info api.SyncInfo
		says string
		ok   bool
	}{
		{api.SyncInfo{Configured: true, AgeS: &age}, "1 managed server.", true},
		{api.SyncInfo{Configured: true, Failing: true, AgeS: &age}, "cannot be reached; the data is 700 s old", false},
		{api.SyncInfo{Configured: true, Failing: true}, "has not been reached yet", false},
		{api.SyncInfo{}, "No provider is configured", false},
	} {
		h.sync = s.info
		r := c.ok("list_managed_servers", `{}`)
		if !strings.Contains(r.Text, s.says) || r.get("sync_ok") != s.ok || !strings.Contains(string(r.Data), `"data_age_s":90`) {
			t.Errorf("%s %s", r.Text, r.Data)
		}
		if status := c.ok("get_status", `{}`); status.get("sync_ok") != s.ok {
			t.Errorf("%s", status.Data)
		}
	}
}

// The lists of a status are bounded; its sentence counts all.
func TestStatusCountsAll(t *testing.T) {
	h := newHouse(t)
	h.addBot("b", policy.Policy{})
	c := h.connect("", false)
	for range 30 {
		c.ok("allocate_resource", `{"handle":"b","purpose":"`+strings.Repeat("p", 200)+`","context":"`+strings.Repeat("c", 200)+`"}`)
	}
	r := c.ok("get_status", `{}`)
	if !strings.Contains(r.Text, "30 leases") || len(r.list("leases")) != 25 || len(r.Data) > maxReply {
		t.Errorf("%s %d bytes", r.Text, len(r.Data))
	}
	other := h.connect(h.agent(vault.NewAgent{Name: "other"}), false)
	if r := other.ok("get_status", `{}`); len(r.list("leases")) != 0 || r.str("agent") != "other" {
		t.Errorf("another's leases: %s", r.Data)
	}
}

// The inventory tells what list_resources does, and no more to whom it does not concern.
func TestInventory(t *testing.T) {
	h := newHouse(t)
	h.addBot("weather_bot", policy.Policy{})
	h.addBot("theirs", policy.Policy{Agents: []string{"ci"}})
	h.addServer("prod_vps_1")
	c := h.connect("", true)
	if got := string(c.request("resources/list", "")); !strings.Contains(got, "zavhoz://resources/weather_bot") || strings.Contains(got, "theirs") {
		t.Error(got)
	}
	one := string(c.request("resources/read", `"uri":"zavhoz://resources/prod_vps_1"`))
	if !strings.Contains(one, `deploy`) || strings.Contains(one, "sealed") || strings.Contains(one, "secret") {
		t.Error(one)
	}
	c.next++
	c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"resources/read","params":{"uri":"zavhoz://resources/theirs",%s}}`, c.next, meta+"{}}"))
	if got := c.line(); !strings.Contains(got, string(fault.UnknownResource)) {
		t.Error(got)
	}
	if got := string(c.request("prompts/get", `"name":"zavhoz_guide"`)); !strings.Contains(got, "list_resources") {
		t.Error(got)
	}
}
