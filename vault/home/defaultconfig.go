package home

import "strings"

// DefaultConfig is the configuration that Init writes. It says what Defaults says.
const DefaultConfig = `# The configuration of Zavhoz. Everything here is optional: what is left out has the value shown.
# No secret belongs here: credentials are resources of the vault, named by handle.
format: 1

# MCP over HTTP. Agents on this machine need none of it: they come by "zavhoz mcp".
http:
  listen: ""            # host:port, e.g. 127.0.0.1:7433; empty: no HTTP
  tls_cert: ""          # off loopback: a certificate and key (PEM files) …
  tls_key: ""
  trusted_proxy: []     # … or the addresses of the proxy that ends TLS, and the URL it serves
  public_url: ""
  allowed_origins: []   # browsers' origins that may call, besides our own
  allowed_hosts: []     # Host headers that are taken, besides loopback names

# Servers from providers.
sync:
  time4vps:
    resource: ""        # handle of the resource that holds the login; empty: no sync
    base_url: https://billing.time4vps.com/api
    schedule: "@every 1m"
    ghost_servers: []   # ids or addresses of servers that are never managed
    auto_manage: false  # true: new servers are managed unless they are ghosts
    missing_grace: 3    # cycles that a server may be absent before it is called missing

# What clients may ask for.
limits:
  runs: 16              # at once, over all agents
  run_timeout_s: 3600   # the longest run that is waited for; at most 3600 (background runs: 24 h)
  output_bytes: 1048576 # kept of a background run's output; the tail is kept
  request_bytes: 4194304

# Where resources live: vault (vault.db alone), or sops: these SOPS files as well, in the layout of docs/sops.md. They are read live, and what is changed here is
# written to them first. The vault's own key opens them: encrypt them to its recipient (zavhoz key list).
vault:
  source: vault
  files: []             # e.g. [{path: /srv/secrets.yaml}, {path: shop.env, project: shop}]; dotenv and INI: one project's secrets
  add_to: ""            # the file (secrets.yaml) that new resources go to; empty: the vault alone

# Of each resource so many earlier versions stay, for history and rollback: 1 to 1000. What a smaller number drops goes with the resource's next change.
versions:
  keep: 10

# How a daemon finds the key that opens the vault, tried in this order: file (identity.txt here), keyring (the system's), credential (systemd's:
# LoadCredentialEncrypted=zavhoz-identity:…), passphrase (a person gives it: zavhoz unlock; until then the vault is locked). After so many seconds without use
# the vault is locked again, and runs end; 0: never. See docs/unlocking.md.
unlock:
  sources: [file]
  lock_after_s: 0

# Where a bot's token that a project is given is asked for whether it is good (getMe); empty: its format alone is checked.
projects:
  telegram_api: https://api.telegram.org

log:
  level: info           # debug, info, warn, error

# A daemon that "zavhoz mcp" started ends after so many seconds without runs, leases or clients. 0: never.
idle_exit_s: 900

# true: the daemon is a service of the system, with a user of its own that no agent has. Agents then need a token each, and come by agent_socket or
# HTTP; clients start no daemon. See docs/install.md.
system: false

# A socket for agents of other users on this machine, each with a token: zavhoz mcp --socket PATH.
agent_socket:
  path: ""              # e.g. /run/zavhoz/agent.sock; no other user may be able to write to its folder
  group: ""             # who may connect
`

// configFrom is DefaultConfig with another source of the key.
func configFrom(source string) string {
	return strings.Replace(DefaultConfig, "sources: [file]", "sources: ["+source+"]", 1)
}
