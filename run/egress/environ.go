package egress

import "strings"

// proxyVars are read by clients to find a proxy. HTTP_PROXY too: plain http must end at our refusal and not at a name that does not resolve.
var proxyVars = []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "npm_config_proxy", "npm_config_https_proxy", "YARN_HTTPS_PROXY", "YARN_HTTP_PROXY"}

// trustVars are read by clients to find a file of authorities: OpenSSL (and with it Python's ssl, Ruby, PHP, httpx, aiohttp) and Go, Rust's native roots; curl;
// requests and pip; git; Node; cargo; the AWS tools; Deno; gRPC; Nix; Perl; conda; Google's tools; R and libcurl users.
var trustVars = []string{
	"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "CARGO_HTTP_CAINFO", "AWS_CA_BUNDLE", "DENO_CERT",
	"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "NIX_SSL_CERT_FILE", "PERL_LWP_SSL_CA_FILE", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "HTTPLIB2_CA_CERTS", "npm_config_cafile", "BUNDLE_SSL_CA_CERT",
	"WEBSOCKET_CLIENT_CA_BUNDLE", "CONDA_SSL_VERIFY", "HEX_CACERTS_PATH", "YARN_HTTPS_CA_FILE_PATH",
}

// fixedVars switch clients to what the others say: Node (from 22.21 and 24 on; before, its fetch knows no proxy and needs the transparent entry) and uv go by them
// only when told so.
var fixedVars = []string{"NODE_USE_ENV_PROXY=1", "NODE_USE_SYSTEM_CA=1", "UV_NATIVE_TLS=1", "DENO_TLS_CA_STORE=system,mozilla", "NO_PROXY=localhost,127.0.0.1,::1", "no_proxy=localhost,127.0.0.1,::1"}

// Environment gives the variables that lead a run's clients to the proxy at proxyURL ("http://127.0.0.1:3128") and make them trust the bundle at that path.
// Java reads none of them (its key store is its own), nor do programs with built-in roots or pinned keys; PHP's curl extension goes by the overlaid system bundle.
func Environment(proxyURL, bundle string) []string {
	env := make([]string, 0, len(proxyVars)+len(trustVars)+len(fixedVars))
	for _, name := range proxyVars {
		env = append(env, name+"="+proxyURL)
	}
	for _, name := range trustVars {
		env = append(env, name+"="+bundle)
	}
	return append(env, fixedVars...)
}

// alsoSteer are variables that Environment does not set and that would lead a client elsewhere, or make it trust anybody.
var alsoSteer = []string{"NODE_TLS_REJECT_UNAUTHORIZED", "GIT_SSL_NO_VERIFY", "GIT_PROXY_COMMAND", "PYTHONHTTPSVERIFY", "SSL_CERT_DIR", "FTP_PROXY", "SOCKS_PROXY", "RSYNC_PROXY", "GIT_SSL_CAPATH",
	"GIT_HTTP_PROXY_AUTHMETHOD", "CURL_HOME", "NODE_REPL_EXTERNAL_MODULE"}

// Steers tells whether a variable leads clients to a proxy or says whom they trust: it is not the caller's to set.
func Steers(name string) bool {
	for _, list := range [][]string{proxyVars, trustVars, alsoSteer} {
		for _, n := range list {
			if strings.EqualFold(n, name) {
				return true
			}
		}
	}
	for _, kv := range fixedVars {
		if n, _, _ := strings.Cut(kv, "="); strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}
