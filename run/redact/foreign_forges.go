package redact

// forgeTokens are tokens of code forges and package registries.
//
// Shapes: docs.github.com "About authentication to GitHub" (token prefixes), docs.gitlab.com/security/tokens "Token prefixes", support.atlassian.com "API
// tokens", docs.npmjs.com "About access tokens", docs.pypi.org and pypi.org/help#apitoken (macaroons), guides.rubygems.org, docs.docker.com "Personal
// access tokens", buildkite.com/docs/apis/managing-api-tokens, circleci.com/docs, sourcegraph.com/docs "access tokens", developer.hashicorp.com.
func forgeTokens() []foreignRule {
	return []foreignRule{
		token("a-github-token", "ghp_", wordy, 30),
		token("a-github-token", "gho_", wordy, 30),
		token("a-github-token", "ghu_", wordy, 30),
		token("a-github-token", "ghs_", dotted, 30),
		token("a-github-token", "ghr_", wordy, 30),
		token("a-github-token", "github_pat_", wordy, 40),
		token("a-gitlab-token", "glpat-", dotted, 16),
		token("a-gitlab-token", "gldt-", dotted, 16),
		token("a-gitlab-token", "glrt-", dotted, 16),
		token("a-gitlab-token", "glrtr-", dotted, 16),
		token("a-gitlab-token", "glptt-", dotted, 16),
		token("a-gitlab-token", "glft-", dotted, 16),
		token("a-gitlab-token", "glimt-", dotted, 16),
		token("a-gitlab-token", "glagent-", dotted, 16),
		token("a-gitlab-token", "gloas-", dotted, 16),
		token("a-gitlab-token", "glsoat-", dotted, 16),
		token("a-gitlab-token", "glcbt-", dotted, 16),
		token("a-gitlab-token", "glffct-", dotted, 16),
		token("a-gitlab-token", "GR1348941", urlSafe, 16),
		token("an-atlassian-token", "ATATT3", classOf("A-Za-z0-9_=-"), 60),
		token("an-atlassian-token", "ATCTT3", classOf("A-Za-z0-9_=-"), 60),
		token("an-atlassian-token", "ATBB", alnum, 24),
		token("an-npm-token", "npm_", alnum, 30),
		behind("an-npm-token", "_authToken=", urlSafe, 16),
		token("a-pypi-token", "pypi-AgE", urlSafe, 50),
		token("a-rubygems-key", "rubygems_", hexLow, 40),
		token("a-docker-token", "dckr_pat_", urlSafe, 20),
		token("a-docker-token", "dckr_oat_", urlSafe, 20),
		token("a-buildkite-token", "bkua_", hexLow, 40),
		token("a-circleci-token", "CCIPAT_", wordy, 30),
		token("a-circleci-token", "CCIPRJ_", wordy, 30),
		token("a-sourcegraph-token", "sgp_", wordy, 40),
		token("a-postman-key", "PMAK-", classOf("a-f0-9-"), 50),
		behind("a-terraform-token", ".atlasv1.", urlSafe, 40),
	}
}
