package kind

import (
	"strings"

	"github.com/zavhoz/zavhoz/vault/policy"
)

var messaging = []Service{
	{Name: "sendgrid", Title: "SendGrid", Env: []string{"SENDGRID_API_KEY"}, Header: auth, Template: bearer, Key: `^SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}$`, Doc: "https://www.twilio.com/docs/sendgrid/api-reference",
		Hosts: []string{"api.sendgrid.com /v3/* !/v3/api_keys/* !/v3/sso/* !/v3/teammates/* !/v3/subusers/*"}},
	{Name: "mailgun", Title: "Mailgun", Env: []string{"MAILGUN_API_KEY"}, Header: auth, Template: "api:{value}", Basic: true, Doc: "https://documentation.mailgun.com/docs/mailgun/api-reference",
		Hosts: []string{"api.mailgun.net !/v1/keys/* !/*/domains/*/credentials/* !/v5/accounts/* !/v5/users/* !/v5/webhook/signing_key", "api.eu.mailgun.net !/v1/keys/* !/*/domains/*/credentials/* !/v5/accounts/* !/v5/users/* !/v5/webhook/signing_key"}},
	{Name: "postmark", Title: "Postmark", Env: []string{"POSTMARK_SERVER_TOKEN", "POSTMARK_API_TOKEN"}, Header: "X-Postmark-Server-Token", Template: bare, Key: `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, Doc: "https://postmarkapp.com/developer",
		Hosts: []string{"api.postmarkapp.com !/server !/servers/*"}},
	{Name: "resend", Title: "Resend", Env: []string{"RESEND_API_KEY"}, Header: auth, Template: bearer, Key: `^re_[A-Za-z0-9_]{16,}$`, Doc: "https://resend.com/docs/api-reference/introduction",
		Hosts: []string{"api.resend.com !/api-keys/* !/webhooks/*"}},
	{Name: "twilio", Title: "Twilio", Env: []string{"TWILIO_AUTH_TOKEN"}, UserEnv: "TWILIO_ACCOUNT_SID", Header: auth, Template: "{username}:{value}", Basic: true, Key: `^[0-9a-f]{32}$`, Doc: "https://www.twilio.com/docs/usage/api",
		// The account itself (…/Accounts/AC….json) shows the token, so what is allowed begins one segment further down.
		Hosts: []string{"api.twilio.com /2010-04-01/Accounts/*/*" + twilioDeny("Keys", "SigningKeys", "Tokens", "AuthorizedConnectApps", "ConnectApps")}},
	{Name: "slack", Title: "Slack", Env: []string{"SLACK_BOT_TOKEN", "SLACK_TOKEN"}, Header: auth, Template: bearer, Key: `^xox[abeoprs]-[A-Za-z0-9-]{10,}$`, Doc: "https://api.slack.com/methods",
		Hosts: []string{"slack.com /api/* !/api/oauth.access !/api/oauth.v2.access !/api/oauth.v2.exchange !/api/oauth.token !/api/openid.connect.token !/api/tooling.tokens.rotate !/api/auth.revoke" +
			" !/api/apps.connections.open !/api/rtm.connect !/api/rtm.start !/api/apps.manifest.create"}},
	{Name: "discord", Title: "Discord", Env: []string{"DISCORD_TOKEN", "DISCORD_BOT_TOKEN"}, Header: auth, Template: "Bot {value}", Doc: "https://discord.com/developers/docs/reference",
		Hosts: []string{"discord.com /api/* !/api/oauth2/* !/api/*/oauth2/* !/api/channels/*/webhooks !/api/*/channels/*/webhooks !/api/guilds/*/webhooks !/api/*/guilds/*/webhooks !/api/webhooks/* !/api/*/webhooks/*"}},
	{Name: "notion", Title: "Notion", Env: []string{"NOTION_TOKEN", "NOTION_API_KEY"}, Header: auth, Template: bearer, Key: `^(ntn_|secret_)[A-Za-z0-9]{20,}$`, Doc: "https://developers.notion.com/reference",
		Hosts: []string{"api.notion.com /v1/* !/v1/oauth/*"}},
}

var operations = []Service{
	{Name: "stripe", Title: "Stripe", Env: []string{"STRIPE_API_KEY", "STRIPE_SECRET_KEY"}, Header: auth, Template: bearer, Key: `^(sk|rk)_(live|test)_[A-Za-z0-9]{16,}$`, Doc: "https://docs.stripe.com/api",
		Hosts: []string{"api.stripe.com !/v1/ephemeral_keys/* !POST:/v1/webhook_endpoints/* !/v1/apps/secrets/* !POST:/v1/account_sessions !POST:/v1/terminal/connection_tokens !POST:/v2/core/event_destinations/*", "files.stripe.com !POST:/v1/file_links"}},
	{Name: "linear", Title: "Linear", Env: []string{"LINEAR_API_KEY"}, Header: auth, Template: bare, Key: `^lin_api_[A-Za-z0-9]{20,}$`, Doc: "https://linear.app/developers/graphql", Hosts: []string{"api.linear.app POST /graphql"}},
	{Name: "sentry", Title: "Sentry", Env: []string{"SENTRY_AUTH_TOKEN"}, Header: auth, Template: bearer, Key: `^sntry[su]_[A-Za-z0-9_=+/-]{20,}$`, Doc: "https://docs.sentry.io/api/",
		Hosts: []string{"sentry.io /api/0/*" + sentryDeny, "us.sentry.io /api/0/*" + sentryDeny, "de.sentry.io /api/0/*" + sentryDeny}},
	{Name: "datadog", Title: "Datadog", Env: []string{"DD_API_KEY"}, Header: "Dd-Api-Key", Template: bare, Key: `^[0-9a-f]{32}$`, Doc: "https://docs.datadoghq.com/api/latest/",
		Hosts: []string{"api.datadoghq.com" + datadogDeny, "api.datadoghq.eu" + datadogDeny, "api.us3.datadoghq.com" + datadogDeny, "api.us5.datadoghq.com" + datadogDeny, "api.ap1.datadoghq.com" + datadogDeny,
			"http-intake.logs.datadoghq.com POST", "http-intake.logs.datadoghq.eu POST"}},
	{Name: "airtable", Title: "Airtable", Env: []string{"AIRTABLE_API_KEY"}, Header: auth, Template: bearer, Key: `^pat[A-Za-z0-9]{14}\.[0-9a-f]{64}$`, Doc: "https://airtable.com/developers/web/api/introduction",
		Hosts: []string{"api.airtable.com /v0/* !POST:/v0/bases/*/webhooks/*"}},
	{Name: "pinecone", Title: "Pinecone", Env: []string{"PINECONE_API_KEY"}, Header: "Api-Key", Template: bare, Key: `^pcsk_[A-Za-z0-9_]{20,}$`, Doc: "https://docs.pinecone.io/reference/api/introduction",
		Hosts: []string{"api.pinecone.io !/admin/*", "*.pinecone.io !/admin/*"}},
}

const (
	sentryDeny = " !/api/0/api-tokens/* !/api/0/organizations/*/org-auth-tokens/* !/api/0/projects/*/*/keys/* !/api/0/organizations/*/project-keys/* !/api/0/api-applications/* !/api/0/sentry-apps/* !/api/0/authorize/*" +
		" !/api/0/organizations/*/sentry-apps/*"
	datadogDeny = " !/api/v1/api_key/* !/api/v1/application_key/* !/api/v2/api_keys/* !/api/v2/application_keys/* !/api/v2/current_user/application_keys/* !/api/v2/service_accounts/* !/api/v2/remote_config/* !/api/v2/apicreds/*"
)

// denials writes a list of denials as a rule's text has them.
func denials(deny []string) string {
	var b strings.Builder
	for _, d := range deny {
		b.WriteString(" !" + d)
	}
	return b.String()
}

// twilioDeny denies resources of an account under each of the forms that the API answers in.
func twilioDeny(resources ...string) string {
	var deny []string
	for _, r := range resources {
		for _, form := range []string{"/*", ".json", ".xml", ".csv", ".html"} {
			deny = append(deny, "/2010-04-01/Accounts/*/"+r+form)
		}
	}
	return denials(deny)
}

// ruleTexts writes rules as text, for a row that shares them with a kind.
func ruleTexts(rules []policy.HostRule) []string {
	out := make([]string, len(rules))
	for i, r := range rules {
		out[i] = r.String()
	}
	return out
}
