package redact

// cloudTokens are keys of clouds, hosters and what runs on them.
//
// Shapes: docs.aws.amazon.com "IAM identifiers" (unique id prefixes), cloud.google.com "API keys" and "OAuth client secrets", learn.microsoft.com "Configure
// Azure Storage connection strings", docs.digitalocean.com "API tokens", developers.cloudflare.com "Origin CA keys", fly.io/docs "tokens", devcenter.heroku.com
// "Platform API keys", docs.netlify.com, render.com/docs/api, supabase.com/docs "API keys", planetscale.com/docs, docs.databricks.com "Personal access tokens",
// docs.doppler.com, developer.hashicorp.com/vault "tokens", pulumi.com, tailscale.com/kb "key prefixes", grafana.com/docs "service account tokens",
// docs.newrelic.com "API keys", docs.sentry.io "auth tokens", docs.dynatrace.com "tokens", alibabacloud.com "AccessKey", developer.1password.com.
func cloudTokens() []foreignRule {
	return []foreignRule{
		{name: "an-aws-key", literal: "AKIA", word: true, find: awsKey},
		{name: "an-aws-key", literal: "ASIA", word: true, find: awsKey},
		named("an-aws-key", "secret_access_key", classOf("A-Za-z0-9+/"), 40),
		named("an-aws-key", "secretAccessKey", classOf("A-Za-z0-9+/"), 40),
		named("an-aws-key", "SecretAccessKey", classOf("A-Za-z0-9+/"), 40),
		named("an-aws-key", "session_token", base64ed, 100),
		named("an-aws-key", "SESSION_TOKEN", base64ed, 100),
		named("an-aws-key", "sessionToken", base64ed, 100),
		named("an-aws-key", "SessionToken", base64ed, 100),
		token("a-google-key", "AIza", urlSafe, 30),
		token("a-google-key", "GOCSPX-", urlSafe, 20),
		token("a-google-token", "ya29.", dotted, 30),
		wordToken("a-google-token", "1//0", urlSafe, 40, 2),
		behind("an-azure-key", "AccountKey=", base64ed, 60),
		behind("an-azure-key", "SharedAccessKey=", base64ed, 40),
		behind("an-azure-signature", "sig=", classOf("A-Za-z0-9%+/="), 43),
		token("a-digitalocean-token", "dop_v1_", hexLow, 40),
		token("a-digitalocean-token", "doo_v1_", hexLow, 40),
		token("a-digitalocean-token", "dor_v1_", hexLow, 40),
		token("a-cloudflare-key", "v1.0-", classOf("0-9a-f-"), 60),
		token("a-fly-token", "fm2_", mixed64, 30),
		token("a-fly-token", "fm1r_", mixed64, 30),
		token("a-fly-token", "fm1a_", mixed64, 30),
		token("a-fly-token", "fo1_", urlSafe, 40),
		token("a-heroku-key", "HRKU-", urlSafe, 30),
		token("a-netlify-token", "nfp_", alnum, 30),
		wordToken("a-render-key", "rnd_", alnum, 20, 1),
		token("a-supabase-key", "sbp_", hexLow, 40),
		token("a-supabase-key", "sb_secret_", urlSafe, 20),
		token("a-planetscale-token", "pscale_tkn_", dotted, 30),
		token("a-planetscale-token", "pscale_pw_", dotted, 30),
		token("a-planetscale-token", "pscale_oauth_", dotted, 30),
		wordToken("a-databricks-token", "dapi", hexLow, 32, 2),
		token("a-doppler-token", "dp.pt.", alnum, 40),
		token("a-doppler-token", "dp.st.", dotted, 40),
		token("a-vault-token", "hvs.", urlSafe, 24),
		token("a-vault-token", "hvb.", urlSafe, 24),
		token("a-pulumi-token", "pul-", hexLow, 40),
		token("a-tailscale-key", "tskey-", urlSafe, 20),
		token("a-grafana-token", "glsa_", wordy, 32),
		token("a-grafana-token", "glc_eyJ", base64ed, 30),
		token("a-newrelic-key", "NRAK-", upperNum, 27),
		token("a-sentry-token", "sntrys_", classOf("A-Za-z0-9_=+/-"), 40),
		token("a-sentry-token", "sntryu_", hexLow, 40),
		token("a-dynatrace-token", "dt0c01.", dotted, 60),
		wordToken("an-alibaba-key", "LTAI", alnum, 16, 1),
		token("a-1password-token", "ops_eyJ", base64ed, 60),
		token("a-yandex-key", "AQVN", urlSafe, 35),
		token("a-yandex-token", "y0_AgAAAA", urlSafe, 30),
		token("a-vk-token", "vk1.a.", urlSafe, 40),
		token("a-scaleway-key", "SCW", upperNum, 17),
	}
}

// awsKey is an access key id, and behind a comma, as in the console's CSV, its secret.
func awsKey(b []byte, at int, final bool) (finding, verdict) {
	f, v := tokenAt(b, at, at+4, upperNum, 16, 0, final)
	if v != yes {
		return f, v
	}
	if f.over != nil { // what follows the id decides
		if f.hi-at > 2*sample {
			return f, yes
		}
		return finding{}, unsure
	}
	if f.hi == len(b) || b[f.hi] != ',' {
		return f, yes
	}
	g, v := tokenAt(b, at, f.hi+1, classOf40, 40, 0, final)
	if v == no {
		return f, yes
	}
	return g, v
}

var classOf40 = classOf("A-Za-z0-9+/")

// named is a value behind a name: quotes, blanks and one colon or equals sign may stand between.
func named(name, literal string, of *class, least int) foreignRule {
	return foreignRule{name: name, literal: literal, find: func(b []byte, at int, final bool) (finding, verdict) {
		body, v := value(b, at+len(literal), final)
		if v != yes {
			return finding{}, v
		}
		return tokenAt(b, body, body, of, least, 0, final)
	}}
}

// nameGap is how many bytes may stand between a name and its value.
const nameGap = 12

var gap = classOf(" \t\"'\\:=>")

// value gives where the value of a name that ends at b[at] begins.
func value(b []byte, at int, final bool) (int, verdict) {
	assigned := false
	for i := at; i < len(b); i++ {
		switch {
		case gap[b[i]] && i-at < nameGap:
			assigned = assigned || b[i] == ':' || b[i] == '='
		case assigned:
			return i, yes
		default:
			return 0, no
		}
	}
	if final {
		return 0, no
	}
	return 0, unsure
}
