package redact

import "bytes"

// serviceTokens are keys of services with an API: models, mail and messages, payments, work.
//
// Shapes: api.slack.com/authentication/token-types, core.telegram.org/bots/api "Authorizing your bot", twilio.com/docs "API keys", sendgrid.com/docs,
// documentation.mailgun.com, developers.brevo.com, docs.stripe.com/keys, developer.squareup.com, shopify.dev "access tokens", platform.openai.com,
// docs.anthropic.com, openrouter.ai/docs, huggingface.co/docs "User access tokens", replicate.com/docs, docs.x.ai, console.groq.com, docs.perplexity.ai,
// docs.nvidia.com "NGC keys", docs.pinecone.io, docs.tavily.com, docs.smith.langchain.com, linear.app/developers, developers.notion.com, developers.figma.com,
// posthog.com/docs, docs.mapbox.com, developers.facebook.com "access tokens", discord.com/developers "webhooks"; zavhoz's own (vault/id).
func serviceTokens() []foreignRule {
	return append([]foreignRule{
		{name: "an-api-key", literal: "sk-", word: true, find: plainKey},
		token("an-openai-key", "sk-proj-", urlSafe, 20),
		token("an-openai-key", "sk-svcacct-", urlSafe, 20),
		token("an-openai-key", "sk-admin-", urlSafe, 20),
		token("an-anthropic-key", "sk-ant-", urlSafe, 20),
		token("an-openrouter-key", "sk-or-v1-", hexLow, 32),
		token("a-hugging-face-token", "hf_", alnum, 30),
		token("a-hugging-face-token", "api_org_", alnum, 30),
		token("a-replicate-token", "r8_", alnum, 30),
		token("an-xai-key", "xai-", alnum, 40),
		token("a-groq-key", "gsk_", alnum, 30),
		token("a-perplexity-key", "pplx-", alnum, 30),
		token("an-nvidia-key", "nvapi-", urlSafe, 40),
		token("a-pinecone-key", "pcsk_", wordy, 30),
		token("a-tavily-key", "tvly-", urlSafe, 20),
		token("a-langsmith-key", "lsv2_", wordy, 30),
		wordToken("an-elevenlabs-key", "sk_", hexLow, 40, 2),
		token("a-slack-token", "xoxb-", dotted, 10),
		token("a-slack-token", "xoxp-", dotted, 10),
		token("a-slack-token", "xoxa-", dotted, 10),
		token("a-slack-token", "xoxr-", dotted, 10),
		token("a-slack-token", "xoxs-", dotted, 10),
		token("a-slack-token", "xoxo-", dotted, 10),
		token("a-slack-token", "xoxe-", dotted, 10),
		token("a-slack-token", "xoxe.xox", dotted, 10),
		token("a-slack-token", "xoxc-", dotted, 10),
		token("a-slack-token", "xoxd-", classOf("A-Za-z0-9%._-"), 10),
		token("a-slack-token", "xapp-", dotted, 20),
		behind("a-slack-webhook", "hooks.slack.com/services/", classOf("A-Za-z0-9/"), 30),
		behind("a-slack-webhook", "hooks.slack.com/workflows/", classOf("A-Za-z0-9/"), 30),
		behind("a-discord-webhook", "discord.com/api/webhooks/", classOf("A-Za-z0-9/_-"), 60),
		{name: "a-telegram-bot-token", literal: ":AA", find: telegram},
		token("a-sendgrid-key", "SG.", dotted, 50),
		wordToken("a-mailgun-key", "key-", hexLow, 32, 2),
		token("a-brevo-key", "xkeysib-", urlSafe, 60),
		token("a-brevo-key", "xsmtpsib-", urlSafe, 60),
		wordToken("a-resend-key", "re_", wordy, 30, 2),
		token("a-stripe-key", "sk_live_", wordy, 16),
		token("a-stripe-key", "sk_test_", wordy, 16),
		token("a-stripe-key", "rk_live_", wordy, 16),
		token("a-stripe-key", "rk_test_", wordy, 16),
		token("a-webhook-secret", "whsec_", classOf("A-Za-z0-9+/=_-"), 20),
		token("a-square-token", "sq0atp-", urlSafe, 20),
		token("a-square-token", "sq0csp-", urlSafe, 40),
		token("a-shopify-token", "shpat_", hexAny, 32),
		token("a-shopify-token", "shpca_", hexAny, 32),
		token("a-shopify-token", "shppa_", hexAny, 32),
		token("a-shopify-token", "shpss_", hexAny, 32),
		token("a-linear-key", "lin_api_", alnum, 30),
		token("a-linear-key", "lin_oauth_", alnum, 30),
		token("a-notion-token", "ntn_", alnum, 30),
		wordToken("a-notion-token", "secret_", alnum, 40, 2),
		token("a-figma-token", "figd_", urlSafe, 30),
		token("a-posthog-key", "phx_", alnum, 40),
		token("a-mapbox-token", "sk.eyJ", dotted, 40),
		wordToken("a-facebook-token", "EAA", alnum, 90, 2),
		token("a-contentful-token", "CFPAT-", urlSafe, 40),
		token("a-zavhoz-token", "zvh_agt_", alnum, 30),
		token("a-zavhoz-token", "zvh_op_", alnum, 30),
	}, twilioKeys()...)
}

// plainKey is OpenAI's first form, which DeepSeek and many others copied; the later ones have rules of their own.
func plainKey(b []byte, at int, final bool) (finding, verdict) {
	for _, own := range []string{"proj-", "svcacct-", "admin-", "ant-", "or-v1-"} {
		if bytes.HasPrefix(b[at+3:], []byte(own)) {
			return finding{}, no
		}
	}
	return tokenAt(b, at, at+3, urlSafe, 20, 2, final)
}

// twilioKeys are "SK" and 32 hex numbers: a literal has three bytes at least, hence one rule a digit.
func twilioKeys() (rules []foreignRule) {
	for _, c := range "0123456789abcdef" {
		rules = append(rules, wordToken("a-twilio-key", "SK"+string(c), hexLow, 31, 2))
	}
	return rules
}

// telegram is a bot's number, which anybody may know, a colon, and what is masked.
func telegram(b []byte, at int, final bool) (finding, verdict) {
	n := at
	for n > 0 && at-n < 20 && numbers[b[n-1]] {
		n--
	}
	if at-n < 6 {
		return finding{}, no
	}
	return tokenAt(b, at+1, at+3, urlSafe, 30, 0, final)
}
