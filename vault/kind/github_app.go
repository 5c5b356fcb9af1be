package kind

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"

	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/policy"
)

var errAppKey = errors.New("a GitHub App's key is an RSA private key in PEM, not encrypted, as GitHub lets you download it")

// InstallationToken is the short-lived credential that stands for a GitHub App's key (Minted).
const InstallationToken = "github_installation_token"

var appNumber = lazyregexp.New(`^[1-9][0-9]{0,19}$`)

var _ = register(Kind{
	Name:    "github_app",
	Summary: "a GitHub App: its id and private key, from which short-lived tokens are made",
	Fields: []Field{
		{Name: "app_id", Class: Public, Required: true, Help: "number of the app", Aliases: []string{"id"}, Check: shape(appNumber, "an app id is a number")},
		{Name: "installation_id", Class: Public, Help: "number of the installation; looked up if it is not given", Aliases: []string{"installation"}, Steers: true,
			Check: shape(appNumber, "an installation id is a number")},
		{Name: "private_key", Class: Secret, Required: true, Multiline: true, Help: "the .pem file that GitHub gave", Aliases: []string{"key", "pem"}, Clean: cleanPEM, Check: checkAppKey},
	},
	Env: func(attrs map[string]string) []EnvVar {
		vars := []EnvVar{
			{Name: "GITHUB_TOKEN", Field: "private_key", Minted: InstallationToken},
			{Name: "GITHUB_APP_ID", Value: attrs["app_id"]},
			{Name: "GITHUB_APP_PRIVATE_KEY", Field: "private_key"},
		}
		if i := attrs["installation_id"]; i != "" {
			vars = append(vars, EnvVar{Name: "GITHUB_APP_INSTALLATION_ID", Value: i})
		}
		return vars
	},
	Swaps: func(map[string]string) []Swap {
		return githubSwaps("private_key", InstallationToken)
	},
	Hosts: func(map[string]string) []policy.HostRule { return githubHosts() },
	Uses: func(map[string]string) string {
		return "the GitHub API as an app, in the repositories where it is installed"
	},
	Placeholder: func(map[string]string, string) Shape { return Shape{Prefix: "ghs_", Length: 40} },
	Deliveries:  []policy.Delivery{policy.Broker, policy.None, policy.Env, policy.File},
	StandIn:     []policy.Delivery{policy.Broker, policy.None},
})

// githubSwaps is where GitHub takes a token: as a bearer, under its older name, and, for git over https, as the password of any user or as the user.
func githubSwaps(field, minted string) []Swap {
	return []Swap{
		{Field: field, Header: auth, Template: bearer, Minted: minted},
		{Field: field, Header: auth, Template: "token {value}", Minted: minted},
		{Field: field, Header: auth, Template: "*:{value}", Basic: true, Minted: minted},
		{Field: field, Header: auth, Template: "{value}:*", Basic: true, Minted: minted},
	}
}

// githubHosts is where GitHub's tokens go: the API, and git over https. What makes or shows credentials is denied: tokens, keys of repositories and
// accounts, webhooks (they carry what happens elsewhere).
func githubHosts() []policy.HostRule {
	deny := []string{
		"POST:/app/installations/*/access_tokens", "/app/*", "/app", "/applications/*",
		"POST,PUT,PATCH:/user/keys", "POST,PUT,PATCH:/user/gpg_keys", "POST,PUT,PATCH:/user/ssh_signing_keys", "POST:/repos/*/*/keys",
		"POST:/repos/*/*/actions/runners/registration-token", "POST:/repos/*/*/actions/runners/remove-token", "POST:/repos/*/*/actions/runners/generate-jitconfig",
		"POST:/orgs/*/actions/runners/registration-token", "POST:/orgs/*/actions/runners/remove-token", "POST:/orgs/*/actions/runners/generate-jitconfig",
		"POST:/enterprises/*/actions/runners/registration-token", "POST:/orgs/*/personal-access-tokens", "POST,PATCH:/repos/*/*/hooks/*", "POST:/repos/*/*/hooks",
		"POST,PATCH:/orgs/*/hooks/*", "POST:/orgs/*/hooks",
	}
	return []policy.HostRule{{Host: "api.github.com", Deny: deny}, {Host: "uploads.github.com"}, {Host: "github.com", Methods: []string{"GET", "HEAD", "POST"},
		Paths: []string{"/*/*/info/refs", "/*/*/git-upload-pack", "/*/*/git-receive-pack", "/*/*/info/lfs/*"}}}
}

func checkAppKey(v []byte) error {
	b, err := oneBlock(v)
	if err != nil {
		return err
	}
	var key any
	switch b.Type {
	case "RSA PRIVATE KEY":
		if b.Headers["DEK-Info"] != "" {
			return errAppKey
		}
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	default:
		return errAppKey
	}
	if _, isRSA := key.(*rsa.PrivateKey); err != nil || !isRSA {
		return errAppKey
	}
	return checkStrength(key)
}
