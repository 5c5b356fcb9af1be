package kind

import (
	"errors"
	"strings"

	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/policy"
)

var (
	zoneID  = lazyregexp.New(`^[0-9a-f]{32}$`)
	errZone = errors.New("a zone is a domain name of two labels or more, such as example.org")
)

var _ = register(Kind{
	Name:    "domain",
	Summary: "a DNS zone at Cloudflare: an API token, and the domain",
	Fields: []Field{
		{Name: "zone", Class: Public, Required: true, Help: "the domain name", Aliases: []string{"domain", "name"}, Clean: cleanHost, Check: checkZone},
		{Name: "zone_id", Class: Public, Help: "Cloudflare's id of the zone; with it the token reaches that zone only", Steers: true, Check: shape(zoneID, "a zone id has 32 hex digits")},
		{Name: "token", Class: Secret, Required: true, Help: "an API token (not the global key) with rights on this zone", Aliases: []string{"key", "api_token", "value"}, Check: checkKey},
	},
	Env: func(attrs map[string]string) []EnvVar {
		vars := []EnvVar{{Name: "CLOUDFLARE_API_TOKEN", Field: "token"}, {Name: "CLOUDFLARE_ZONE", Value: attrs["zone"]}}
		if id := attrs["zone_id"]; id != "" {
			vars = append(vars, EnvVar{Name: "CLOUDFLARE_ZONE_ID", Value: id})
		}
		return vars
	},
	Swaps: func(map[string]string) []Swap {
		return []Swap{{Field: "token", Header: "Authorization", Template: "Bearer {value}"}}
	},
	Hosts: func(attrs map[string]string) []policy.HostRule {
		look := policy.HostRule{Host: "api.cloudflare.com", Methods: []string{"GET", "HEAD"}, Paths: []string{"/client/v4/zones", "/client/v4/user/tokens/verify"}}
		zone := policy.HostRule{Host: "api.cloudflare.com", Paths: []string{"/client/v4/zones/*"}, Deny: cloudflareDeny()}
		if id := attrs["zone_id"]; id != "" {
			zone.Paths = []string{"/client/v4/zones/" + id, "/client/v4/zones/" + id + "/*"}
		}
		return []policy.HostRule{look, zone}
	},
	Uses: func(attrs map[string]string) string {
		return "DNS records of " + attrs["zone"] + " through the Cloudflare API"
	},
	Placeholder: func(map[string]string, string) Shape { return Shape{Alphabet: alphanumeric + "_-", Length: 40} },
	Deliveries:  []policy.Delivery{policy.Broker, policy.None, policy.Env, policy.File},
	StandIn:     []policy.Delivery{policy.Broker, policy.None},
})

func checkZone(v []byte) error {
	if checkHost(v) != nil || !strings.Contains(string(v), ".") || strings.Contains(string(v), ":") || strings.Trim(string(v), "0123456789.") == "" {
		return errZone
	}
	return nil
}

// cloudflareDeny is what makes or shows tokens and keys at Cloudflare.
func cloudflareDeny() []string {
	return []string{
		"POST,PUT,PATCH:/client/v4/user/tokens", "POST,PUT,PATCH:/client/v4/user/tokens/*", "POST,PUT,PATCH:/client/v4/accounts/*/tokens",
		"POST,PUT,PATCH:/client/v4/accounts/*/tokens/*", "/client/v4/user/api_keys/*", "/client/v4/user/service_keys/*", "/client/v4/certificates/*",
		"POST:/client/v4/accounts/*/access/service_tokens", "POST:/client/v4/zones/*/access/service_tokens", "POST:/client/v4/accounts/*/access/service_tokens/*",
		"GET:/client/v4/accounts/*/cfd_tunnel/*/token", "POST:/client/v4/accounts/*/r2/temp-access-credentials",
	}
}
