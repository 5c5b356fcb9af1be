package time4vps

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

var errShape = errors.New("time4vps: neither a list nor a server")

// Server is one element of the list, which shows active servers only. The account's own label is not taken over: people write addresses into it.
type Server struct {
	ID     string        // "" where the element has none
	IP     secret.Secret // canonical; empty while the server is being built
	Domain secret.Secret
	Type   string // "KVM"
	Bad    bool   // some field could not be read
}

// brief is Server on the wire. Some doubles of the API say id for server_id.
type brief struct {
	ServerID text `json:"server_id"`
	ID       text `json:"id"`
	IP       text `json:"ip"`
	Domain   text `json:"domain"`
	Type     text `json:"type"`
}

// List gives every active server, whole or not at all.
func (c *Client) List(ctx context.Context) (servers []Server, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: "/server", limit: listCap}, func(body []byte) error {
		servers, err = decodeList(body)
		return err
	})
	return servers, err
}

// decodeList reads an array of servers, or a single one in its place. One element that cannot be read is Bad; the rest stands.
func decodeList(body []byte) ([]Server, error) {
	if body = bytes.TrimSpace(body); len(body) == 0 {
		return nil, errShape
	}
	var elements []json.RawMessage
	switch {
	case body[0] == '[':
		if json.Unmarshal(body, &elements) != nil {
			return nil, errShape
		}
	case body[0] == '{':
		elements = []json.RawMessage{body}
	default:
		return nil, errShape // null too: it does not say that there are no servers
	}
	servers := make([]Server, 0, len(elements))
	for _, e := range elements {
		servers = append(servers, decodeBrief(e))
	}
	if body[0] == '{' && servers[0].ID == "" {
		return nil, errShape
	}
	return servers, nil
}

func decodeBrief(raw []byte) Server {
	var b brief
	if err := json.Unmarshal(raw, &b); err != nil {
		return Server{Bad: true}
	}
	s := Server{ID: b.ServerID.s, Type: plain(b.Type.s, 32)}
	if s.ID == "" {
		s.ID = b.ID.s
	}
	if !validID(s.ID) {
		return Server{Bad: true}
	}
	var ip, name bool
	s.IP, ip = address(b.IP.s)
	s.Domain, name = hostname(b.Domain.s)
	s.Bad = !ip || !name || b.IP.bad || b.Domain.bad
	return s
}

// Details are a server's numbers, in MB and MHz; nil is what the provider did not say.
type Details struct {
	Status     string // lower case; "active", "pending", "suspended", …
	CPU        *int   // cores
	CPUMHz     *int
	RAMMB      *int
	UsedRAMMB  *int
	DiskMB     *int
	UsedDiskMB *int
	OS         string // template code
	IP         secret.Secret
	Additional []secret.Secret
}

// Windows tells by the template's code; the login is then Administrator instead of root.
func (d Details) Windows() bool { return strings.HasPrefix(d.OS, "kvm-win-") }

// wire is Details on the wire: what is not declared here is dropped by the decoder, above all last_tasks, whose results hold root passwords.
type wire struct {
	Status    text   `json:"status"`
	CPUCores  number `json:"cpu_cores"`
	CPUFreq   number `json:"cpu_frequency"`
	RAMLimit  number `json:"ram_limit"`
	RAMUsed   number `json:"ram_used"`
	DiskLimit number `json:"disk_limit"`
	DiskUsage number `json:"disk_usage"`
	OS        text   `json:"os"`
	IP        text   `json:"ip"`
	More      list   `json:"additional_ip"`
}

// Details gives a server's numbers.
func (c *Client) Details(ctx context.Context, id string) (d Details, err error) {
	if !validID(id) {
		return d, badID()
	}
	err = c.do(ctx, call{method: http.MethodGet, path: "/server/" + id, limit: bodyCap}, func(body []byte) error {
		d, err = decodeDetails(body)
		return err
	})
	return d, err
}

func decodeDetails(body []byte) (Details, error) {
	var w wire
	if err := object(body, &w); err != nil {
		return Details{}, err
	}
	d := Details{
		Status: strings.ToLower(plain(w.Status.s, 32)), OS: plain(w.OS.s, 100),
		CPU: w.CPUCores.v, CPUMHz: w.CPUFreq.v, RAMMB: w.RAMLimit.v, UsedRAMMB: w.RAMUsed.v, DiskMB: w.DiskLimit.v, UsedDiskMB: w.DiskUsage.v,
	}
	d.IP, _ = address(w.IP.s)
	d.Additional = addresses(w.More)
	if d.Status == "" && d.CPU == nil && d.RAMMB == nil && d.DiskMB == nil {
		return Details{}, errShape // an empty object, or that of something else
	}
	return d, nil
}

// object decodes body, which must be a JSON object, into to.
func object(body []byte, to any) error {
	if body = bytes.TrimSpace(body); len(body) == 0 || body[0] != '{' {
		return errShape
	}
	if err := json.Unmarshal(body, to); err != nil {
		return errShape // json's own errors quote the input
	}
	return nil
}

// addresses takes the elements that are addresses.
func addresses(l list) (out []secret.Secret) {
	for _, e := range l {
		var t text
		if json.Unmarshal(e, &t) != nil {
			continue
		}
		if ip, ok := address(t.s); ok && !ip.IsZero() {
			out = append(out, ip)
		}
	}
	return out
}

func badID() *fault.Error {
	return fault.New(fault.InvalidArgument, "a provider's id is a decimal number", "")
}
