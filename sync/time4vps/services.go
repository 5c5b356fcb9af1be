package time4vps

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// Service gives the status of the billing service behind a server, lower case: "active", "suspended", "terminated", "cancelled", "pending", "fraud".
// A server's id is its service's. The list shows active servers only, so this is what tells suspended from deleted. Names and amounts are dropped.
func (c *Client) Service(ctx context.Context, id string) (status string, err error) {
	if !validID(id) {
		return "", badID()
	}
	err = c.do(ctx, call{method: http.MethodGet, path: "/service/" + id, limit: bodyCap}, func(body []byte) error {
		status, err = decodeService(body)
		return err
	})
	return status, err
}

func decodeService(body []byte) (string, error) {
	var w struct {
		Service *struct {
			Status text `json:"status"`
		} `json:"service"`
	}
	if err := object(body, &w); err != nil {
		return "", err
	}
	if w.Service == nil {
		return "", errShape
	}
	return strings.ToLower(plain(strings.TrimSpace(w.Service.Status.s), 32)), nil
}

// IPs gives every address of a server.
func (c *Client) IPs(ctx context.Context, id string) (ips []secret.Secret, err error) {
	if !validID(id) {
		return nil, badID()
	}
	err = c.do(ctx, call{method: http.MethodGet, path: "/server/" + id + "/ips", limit: bodyCap}, func(body []byte) error {
		ips, err = decodeIPs(body)
		return err
	})
	return ips, err
}

// decodeIPs reads [{"ips":[…]}], as documented, and {"ips":[…]}, as the provider's own client reads it.
func decodeIPs(body []byte) ([]secret.Secret, error) {
	var groups []json.RawMessage
	if body = bytes.TrimSpace(body); len(body) > 0 && body[0] == '[' {
		if json.Unmarshal(body, &groups) != nil {
			return nil, errShape
		}
	} else {
		groups = []json.RawMessage{body}
	}
	var ips []secret.Secret
	for _, g := range groups {
		var w struct {
			IPs *list `json:"ips"`
		}
		if err := object(g, &w); err != nil {
			return nil, err
		}
		if w.IPs != nil {
			ips = append(ips, addresses(*w.IPs)...)
		}
	}
	return ips, nil
}

// OS is an image that a server can be built from.
type OS struct {
	Code  string // "kvm-ubuntu-24.04-gpt-x86_64"
	Title string
}

// OSes gives the images that a server can be built from.
func (c *Client) OSes(ctx context.Context, id string) (oses []OS, err error) {
	if !validID(id) {
		return nil, badID()
	}
	err = c.do(ctx, call{method: http.MethodGet, path: "/server/" + id + "/oses", limit: bodyCap}, func(body []byte) error {
		oses, err = decodeOSes(body)
		return err
	})
	return oses, err
}

func decodeOSes(body []byte) ([]OS, error) {
	var ws []json.RawMessage
	if json.Unmarshal(body, &ws) != nil || ws == nil {
		return nil, errShape
	}
	oses := make([]OS, 0, len(ws))
	for _, raw := range ws {
		var w struct {
			OS    text `json:"os"`
			Title text `json:"title"`
		}
		if object(raw, &w) != nil || plain(w.OS.s, 100) == "" {
			continue
		}
		oses = append(oses, OS{Code: w.OS.s, Title: title(w.Title.s)})
	}
	return oses, nil
}

// title lets printable ASCII through: titles are for people.
func title(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s[:min(len(s), 100)])
}
