package kind

var forges = []Service{
	{Name: "github", Title: "GitHub", Env: []string{"GITHUB_TOKEN", "GH_TOKEN"}, Header: auth, Template: bearer, Key: `^(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})$`, Doc: "https://docs.github.com/en/rest",
		Looks: Shape{Prefix: "ghp_", Sum: true}, Also: githubSwaps("key", "")[1:], Hosts: ruleTexts(githubHosts())},
	{Name: "gitlab", Title: "GitLab", Env: []string{"GITLAB_TOKEN"}, Header: "Private-Token", Template: bare, Also: []Swap{{Field: "key", Header: auth, Template: bearer}}, Key: `^gl[a-z]+-[A-Za-z0-9_.-]{16,}$`, Doc: "https://docs.gitlab.com/api/rest/",
		Hosts: []string{"gitlab.com /api/v4/* !/api/v4/personal_access_tokens/* !/api/v4/user/personal_access_tokens/* !/api/v4/users/*/personal_access_tokens/* !/api/v4/users/*/impersonation_tokens/*" +
			" !/api/v4/projects/*/access_tokens/* !/api/v4/groups/*/access_tokens/* !/api/v4/projects/*/deploy_tokens/* !/api/v4/groups/*/deploy_tokens/* !/api/v4/groups/*/service_accounts/*" +
			" !/api/v4/projects/*/variables/* !/api/v4/groups/*/variables/* !/api/v4/admin/* !/api/v4/projects/*/triggers/* !POST:/api/v4/user/runners !POST:/api/v4/runners/*" +
			" !/api/v4/projects/*/runners/reset_registration_token !/api/v4/groups/*/runners/reset_registration_token !POST:/api/v4/user/keys !POST:/api/v4/user/gpg_keys" +
			" !POST:/api/v4/projects/*/deploy_keys !POST,PUT:/api/v4/projects/*/hooks/* !/api/v4/projects/*/cluster_agents/*/tokens/* !/api/v4/applications/*"}},
	{Name: "pypi", Title: "PyPI", Env: []string{"TWINE_PASSWORD", "UV_PUBLISH_TOKEN"}, UserEnv: "TWINE_USERNAME", Header: auth, Template: "__token__:{value}", Basic: true, Key: `^pypi-[A-Za-z0-9_-]{50,}$`,
		Doc: "https://docs.pypi.org/api/upload/", Hosts: []string{"upload.pypi.org POST /legacy/"}},
	{Name: "npm", Title: "npm", Env: []string{"NPM_TOKEN", "NODE_AUTH_TOKEN"}, Header: auth, Template: bearer, Key: `^npm_[A-Za-z0-9]{36}$`, Looks: Shape{Prefix: "npm_", Sum: true}, Doc: "https://docs.npmjs.com/about-access-tokens",
		Hosts: []string{"registry.npmjs.org !/-/npm/v1/tokens/* !/-/npm/v1/user/* !/-/user/* !/-/npm/v1/oidc/* !/-/v1/login/*"}},
	{Name: "dockerhub", Title: "Docker Hub", Env: []string{"DOCKERHUB_TOKEN"}, UserEnv: "DOCKERHUB_USERNAME", Template: "{username}:{value}", Key: `^dckr_(pat|oat)_[A-Za-z0-9_-]{20,}$`, Doc: "https://docs.docker.com/reference/api/hub/latest/",
		NoStandIn: "Docker Hub takes the token in the body of a request and gives another one back, so no placeholder can stand in for it: pin a command that may hold it"},
}

var clouds = []Service{
	{Name: "cloudflare", Title: "Cloudflare", Env: []string{"CLOUDFLARE_API_TOKEN", "CF_API_TOKEN"}, Header: auth, Template: bearer, Doc: "https://developers.cloudflare.com/api/",
		Hosts: []string{"api.cloudflare.com /client/v4/*" + denials(cloudflareDeny())}},
	{Name: "digitalocean", Title: "DigitalOcean", Env: []string{"DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"}, Header: auth, Template: bearer, Key: `^do[a-z]_v1_[0-9a-f]{64}$`, Doc: "https://docs.digitalocean.com/reference/api/",
		Hosts: []string{"api.digitalocean.com /v2/* !/v2/spaces/keys/* !/v2/kubernetes/clusters/*/kubeconfig !/v2/kubernetes/clusters/*/credentials !/v2/registry/docker-credentials" +
			" !/v2/registries/*/docker-credentials !/v2/databases/*/users/* !/v2/functions/namespaces/* !/v2/gen-ai/agents/*/api_keys/* !/v2/gen-ai/models/api_keys/*"}},
	{Name: "hetzner", Title: "Hetzner Cloud", Env: []string{"HCLOUD_TOKEN"}, Header: auth, Template: bearer, Key: `^[A-Za-z0-9]{64}$`, Doc: "https://docs.hetzner.cloud/reference/cloud",
		Hosts: []string{"api.hetzner.cloud /v1/* !POST:/v1/servers/*/actions/reset_password !POST:/v1/servers/*/actions/enable_rescue !POST:/v1/servers/*/actions/request_console !POST:/v1/servers/*/actions/rebuild"}},
	{Name: "linode", Title: "Linode", Env: []string{"LINODE_TOKEN", "LINODE_CLI_TOKEN"}, Header: auth, Template: bearer, Key: `^[0-9a-f]{64}$`, Doc: "https://techdocs.akamai.com/linode-api/reference/api",
		Hosts: []string{"api.linode.com /v4/* !/v4/profile/tokens/* !/v4/profile/tfa-enable/* !/v4/object-storage/keys/* !/v4/account/oauth-clients/* !/v4/account/users/* !/v4/lke/clusters/*/kubeconfig" +
			" !/v4/databases/*/instances/*/credentials/* !/v4/linode/instances/*/password !/v4/linode/instances/*/lish_token !POST,PUT:/v4/profile/sshkeys/*"}},
	{Name: "vultr", Title: "Vultr", Env: []string{"VULTR_API_KEY"}, Header: auth, Template: bearer, Doc: "https://www.vultr.com/api/",
		Hosts: []string{"api.vultr.com /v2/* !/v2/users/* !/v2/subaccounts/* !/v2/object-storage/*/regenerate-keys !/v2/kubernetes/clusters/*/config !/v2/databases/*/users/* !/v2/registry/*/docker-credentials"}},
	{Name: "vercel", Title: "Vercel", Env: []string{"VERCEL_TOKEN"}, Header: auth, Template: bearer, Doc: "https://vercel.com/docs/rest-api",
		Hosts: []string{"api.vercel.com !/*/user/tokens/* !/*/projects/*/env/* !/*/env/* !/*/projects/*/protection-bypass !/*/webhooks/* !/*/oauth/* !/registration/*"}},
	{Name: "netlify", Title: "Netlify", Env: []string{"NETLIFY_AUTH_TOKEN"}, Header: auth, Template: bearer, Key: `^nfp_[A-Za-z0-9]{30,}$`, Doc: "https://docs.netlify.com/api/get-started/",
		Hosts: []string{"api.netlify.com /api/v1/* !/api/v1/oauth/* !/api/v1/accounts/*/env/* !/api/v1/sites/*/env/* !/api/v1/deploy_keys/*"}},
	{Name: "fly", Title: "Fly.io", Env: []string{"FLY_API_TOKEN"}, Header: auth, Template: bearer, Spaced: true, Key: `^(FlyV1 )?f(m2|o1)_[A-Za-z0-9_+/=,. -]{20,}$`, Doc: "https://fly.io/docs/machines/api/",
		Hosts: []string{"api.machines.dev /v1/* !/v1/tokens/* !/v1/apps/*/deploy_token !/v1/apps/*/secrets/* !/v1/apps/*/secretkeys/*"}},
	{Name: "render", Title: "Render", Env: []string{"RENDER_API_KEY"}, Header: auth, Template: bearer, Key: `^rnd_[A-Za-z0-9]{20,}$`, Doc: "https://api-docs.render.com/reference",
		Hosts: []string{"api.render.com /v1/* !/v1/services/*/env-vars/* !/v1/services/*/secret-files/* !/v1/env-groups/* !/v1/postgres/*/connection-info !/v1/postgres/*/credentials/* !/v1/redis/*/connection-info !/v1/key-value/*/connection-info"}},
	{Name: "time4vps", Title: "Time4VPS", Env: []string{"TIME4VPS_PASSWORD"}, UserEnv: "TIME4VPS_USERNAME", Header: auth, Template: "{username}:{value}", Basic: true, Doc: "https://billing.time4vps.com/userapi",
		Hosts: []string{"billing.time4vps.com /api/* !/api/server/*/resetpassword !/api/server/*/reinstall !/api/server/*/emergencyconsole !/api/server/*/webconsole !/api/server/*/task/* !/api/login !/api/token !/api/revoke"}},
}
