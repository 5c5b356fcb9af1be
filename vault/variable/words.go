package variable

import (
	"slices"
	"strings"
	"sync"

	"github.com/zavhoz/zavhoz/vault/contract"
)

// wordSet makes a set of words, at its first use: most starts of the program never ask.
func wordSet(list string) func() map[string]bool {
	return sync.OnceValue(func() map[string]bool {
		m := map[string]bool{}
		for _, w := range strings.Fields(list) {
			m[w] = true
		}
		return m
	})
}

// vendors are words that name somebody else: a name that holds one is never made up. Mail and file servers are somebody's too: a made-up SMTP_PASSWORD opens
// nothing.
var vendors = wordSet(`
	STRIPE PAYPAL BRAINTREE PADDLE LEMONSQUEEZY LEMON_SQUEEZY SQUARE ADYEN MOLLIE KLARNA RAZORPAY YOOKASSA YOOMONEY TINKOFF CLOUDPAYMENTS ROBOKASSA PLAID WISE COINBASE BINANCE
	GOOGLE GCP GCS FIREBASE GEMINI YOUTUBE RECAPTCHA HCAPTCHA TURNSTILE AWS S3 SES SQS SNS DYNAMODB COGNITO AZURE MICROSOFT MSAL ENTRA ALIYUN ALIBABA TENCENT YANDEX YC SELECTEL TIMEWEB TIME4VPS
	HETZNER DIGITALOCEAN SPACES LINODE VULTR SCALEWAY OVH CLOUDFLARE CF R2 FASTLY BUNNY VERCEL NETLIFY HEROKU RENDER RAILWAY FLY SUPABASE NEON PLANETSCALE UPSTASH TURSO BACKBLAZE B2 WASABI
	GITHUB GH GITLAB BITBUCKET GITEA JIRA ATLASSIAN CONFLUENCE LINEAR NOTION ASANA TRELLO CLICKUP MONDAY FIGMA NPM PYPI DOCKERHUB GHCR CODECOV SONAR SNYK
	TELEGRAM TG SLACK DISCORD TWILIO VONAGE NEXMO PLIVO MESSAGEBIRD WHATSAPP VIBER LINE VK ODNOKLASSNIKI FACEBOOK FB META INSTAGRAM TWITTER X LINKEDIN REDDIT TIKTOK PINTEREST SNAPCHAT TWITCH SPOTIFY ZOOM
	SENDGRID MAILGUN POSTMARK RESEND MAILCHIMP MANDRILL BREVO SENDINBLUE SPARKPOST MAILJET LOOPS CUSTOMERIO KLAVIYO INTERCOM ZENDESK HUBSPOT SALESFORCE SEGMENT AMPLITUDE MIXPANEL POSTHOG PUSHER ABLY ONESIGNAL FCM APNS
	OPENAI ANTHROPIC CLAUDE MISTRAL GROQ COHERE HF HUGGINGFACE HUGGING REPLICATE PERPLEXITY DEEPSEEK OPENROUTER TOGETHER FIREWORKS ELEVENLABS DEEPGRAM ASSEMBLYAI VOYAGE TAVILY SERPAPI SERPER BRAVE XAI GIGACHAT YANDEXGPT PINECONE
	QDRANT WEAVIATE LANGSMITH LANGCHAIN LANGFUSE WANDB SENTRY DATADOG DD NEWRELIC NEW_RELIC HONEYCOMB ROLLBAR BUGSNAG LOGTAIL BETTERSTACK PAGERDUTY OPSGENIE PROMETHEUSCLOUD
	AUTH0 OKTA CLERK WORKOS KEYCLOAK FUSIONAUTH DESCOPE APPLE KAKAO NAVER WECHAT ALIPAY SHOPIFY EBAY AMAZON ETSY MAPBOX MAPS OPENWEATHER WEATHERAPI ALGOLIA CONTENTFUL SANITY STRAPI STORYBLOK CLOUDINARY IMGIX
	AIRTABLE TYPEFORM CALENDLY DROPBOX BOX DOCUSIGN
	SMTP IMAP POP3 MAIL EMAIL FTP SFTP SSH LDAP RADIUS VPN PROXY EXTERNAL VENDOR PARTNER THIRDPARTY UPSTREAM REMOTE`)

// ownServices are those that a project runs beside itself: their passwords are its own to make.
var ownServices = wordSet(`POSTGRES POSTGRESQL PG DB DATABASE MYSQL MARIADB REDIS VALKEY KEYDB MONGO MONGODB RABBITMQ AMQP MINIO CLICKHOUSE GRAFANA PROMETHEUS ELASTIC ELASTICSEARCH OPENSEARCH KAFKA NATS
	MEILI MEILISEARCH TYPESENSE NEO4J COUCHDB INFLUXDB TIMESCALE FLOWER PGADMIN CELERY`)

// ownWords are words that say nothing of anybody else. A secret whose name is made of them is the project's own.
var ownWords = wordSet(`SECRET SECRETS KEY KEYS TOKEN TOKENS SALT PEPPER SIGNING SIGNATURE SIGN ENCRYPTION ENCRYPT CRYPTO CIPHER HASH HASHING HMAC JWT JWE JWS ACCESS REFRESH SESSION SESSIONS COOKIE COOKIES CSRF XSRF AUTH
	AUTHENTICATION OTP TOTP APP APPLICATION API INTERNAL SERVICE WEB BACKEND FRONTEND SERVER WORKER ADMIN SUPERUSER ROOT USER DJANGO FLASK FASTAPI RAILS LARAVEL NEXTAUTH NEXT NUXT NEST EXPRESS PHOENIX SPRING BETTER
	PAYLOAD CRON WEBHOOK WEBHOOKS HOOK STATE MAGIC LINK INVITE RESET CONFIRM VERIFY VERIFICATION VERIFIER PASSWORD PASS PASSWD PASSPHRASE MASTER DATA FIELD ATTRIBUTE BASE URL PREVIEW REVALIDATE REVALIDATION MEDIA UPLOAD DOWNLOAD BASIC
	METRICS HEALTH DEFAULT INITIAL FIRST SECURITY COOKIE2 SSO SHARED NODE RPC QUEUE BOT STREAM SOCKET WS`)

// secretEnds are the last words of names of secrets that a project makes for itself.
var secretEnds = wordSet(`SECRET SECRETS SALT PEPPER PASSWORD PASS PASSWD PASSPHRASE`)

// keyBefore are the words that make a final KEY or TOKEN the project's own: SIGNING_KEY is, API_KEY is somebody's.
var keyBefore = wordSet(`SECRET SIGNING SIGNATURE SIGN ENCRYPTION ENCRYPT CRYPTO CIPHER HASH HASHING HMAC JWT JWE JWS SESSION COOKIE CSRF XSRF MASTER INTERNAL`)

func ownDatabase(_ string, words []string) (Verdict, bool) {
	last := words[max(0, len(words)-1):]
	if len(words) < 2 || !slices.Contains([]string{"PASSWORD", "PASS", "PASSWD"}, last[0]) || !ownServices()[words[0]] {
		return Verdict{}, false
	}
	for _, w := range words[1 : len(words)-1] {
		if !ownWords()[w] {
			return Verdict{}, false
		}
	}
	v := Verdict{Class: Infra, Form: contract.URLSafe}
	if len(words) == 2 && slices.Contains([]string{"PG", "DB", "DATABASE", "POSTGRESQL"}, words[0]) {
		v.Form, v.Of, v.Why = "", "POSTGRES_PASSWORD", "POSTGRES_PASSWORD by another name: one database has one password"
	}
	return v, true
}

func ownSecret(name string, words []string) (Verdict, bool) {
	if len(words) == 0 {
		return Verdict{}, false
	}
	for _, w := range words {
		if !ownWords()[strings.TrimRight(w, "0123456789")] && strings.Trim(w, "0123456789") != "" {
			return Verdict{}, false
		}
	}
	named := strings.TrimRight(name, "_0123456789")
	words = strings.FieldsFunc(named, func(r rune) bool { return r == '_' })
	last := words[max(0, len(words)-1)]
	own := secretEnds()[last] && (len(words) > 1 || last != "PASSWORD" && last != "PASS" && last != "PASSWD") // PASSWORD alone is anybody's
	if len(words) > 1 && (last == "KEY" || last == "TOKEN") {
		own = keyBefore()[words[len(words)-2]] || words[0] == "INTERNAL"
	}
	if !own {
		return Verdict{}, false
	}
	return Verdict{Class: Infra, Form: contract.URLSafe, Why: "a secret of the project's own: every word of the name is about the project itself"}, true
}

func image(name string, words []string) (Verdict, bool) {
	service, ok := strings.CutSuffix(name, "_IMAGE")
	if !ok || len(words) < 2 {
		return Verdict{}, false
	}
	return Verdict{Class: Computed, Template: "${@image." + serviceName(service) + "}"}, partOf(service)
}

// port takes FRONTEND_PORT and FRONTEND_HOST_PORT for the port of the service frontend.
func port(name string, _ []string) (Verdict, bool) {
	service, ok := strings.CutSuffix(name, "_PORT")
	if !ok {
		return Verdict{}, false
	}
	if s, host := strings.CutSuffix(service, "_HOST"); host {
		service = s
	}
	return Verdict{Class: Computed, Template: "${@port." + serviceName(service) + "}"}, partOf(service)
}

func serviceName(s string) string { return strings.ToLower(s) }

// partOf tells whether what is left of a name can name a service.
func partOf(s string) bool {
	return s != "" && len(s) <= 64 && s[0] >= 'A' && s[0] <= 'Z'
}
