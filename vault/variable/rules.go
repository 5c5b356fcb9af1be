package variable

import (
	"slices"
	"strings"
	"sync"

	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/kind"
)

// rules in order. What somebody else issues is looked at before what a project makes for itself: the earlier system had it the other way round, and made up
// STRIPE_SECRET.
var rules = []rule{
	{"exact", "zavhoz knows this name", exactly},
	{"service", "it is the key of a service", ofService},
	{"image", "the image of one of the project's services", image},
	{"issued", "", issued},
	{"vendor", "", ofVendor},
	{"own_database", "the password of the project's own service", ownDatabase},
	{"own_secret", "", ownSecret},
	{"port", "the port that a service of the project was allocated", port},
}

// exact are names with one meaning. Templates refer softly where the environment may say better: a URL and its parts agree.
var exact = sync.OnceValue(func() map[string]Verdict {
	return map[string]Verdict{
		"POSTGRES_PASSWORD":  {Class: Infra, Form: contract.URLSafe, Why: "the password of the project's own database"},
		"POSTGRES_USER":      {Class: Infra, Template: "postgres"},
		"POSTGRES_DB":        {Class: Infra, Template: "${@db}"},
		"DATABASE_URL":       {Class: Infra, Template: "postgresql://" + postgresRest},
		"ASYNC_DATABASE_URL": {Class: Infra, Template: "postgresql+asyncpg://" + postgresRest},
		"PGPASSWORD":         {Class: Infra, Of: "POSTGRES_PASSWORD"},
		"PGUSER":             {Class: Infra, Template: "${POSTGRES_USER?postgres}"},
		"PGDATABASE":         {Class: Infra, Template: "${POSTGRES_DB}"},
		"REDIS_URL": {Class: Infra, Template: "redis://${REDIS_HOST?redis}:${REDIS_PORT?6379}/0",
			With: "REDIS_PASSWORD", WithTemplate: "redis://:${REDIS_PASSWORD:url}@${REDIS_HOST?redis}:${REDIS_PORT?6379}/0"},
		"MONGO_URL": {Class: Infra, Template: "mongodb://mongo:27017/${@db}",
			With: "MONGO_PASSWORD", WithTemplate: "mongodb://${MONGO_USER:url?mongo}:${MONGO_PASSWORD:url}@mongo:27017/${@db}?authSource=admin"},

		"REDIS_HOST":           {Class: Computed, Template: "redis"},
		"REDIS_PORT":           {Class: Computed, Template: "6379"},
		"MONGO_USER":           {Class: Infra, Template: "mongo"},
		"POSTGRES_HOST":        {Class: Computed, Template: "db"},
		"POSTGRES_PORT":        {Class: Computed, Template: "5432"},
		"POSTGRES_REQUIRE_SSL": {Class: Computed, Template: "false"},
		"APP_NAME":             {Class: Computed, Template: "${@slug}"},
		"PROJECT_NAME":         {Class: Computed, Template: "${@slug}"},
		"COMPOSE_PROJECT_NAME": {Class: Computed, Template: "${@slug}"},
		"APP_ENV":              {Class: Computed, Template: "production"},
		"ENVIRONMENT":          {Class: Computed, Template: "production"},
		"NODE_ENV":             {Class: Computed, Template: "production"},
		"RAILS_ENV":            {Class: Computed, Template: "production"},
		"DEBUG":                {Class: Computed, Template: "false"},
		"APP_DEBUG":            {Class: Computed, Template: "false"},
		"LOG_LEVEL":            {Class: Computed, Template: "info"},
		"ENABLED_MODULES":      {Class: Computed, Template: "${@modules}"},
		"API_URL":              {Class: Computed, Template: backendURL},
		"API_BASE_URL":         {Class: Computed, Template: backendURL},
		"BACKEND_API_URL":      {Class: Computed, Template: backendURL},
		"BACKEND_URL":          {Class: Computed, Template: backendURL},
		"BACKEND_PORT":         {Class: Computed, Template: "${@port.backend}"},
		"FRONTEND_PORT":        {Class: Computed, Template: "${@port.frontend}"},
		"TG_BOT_PORT":          {Class: Computed, Template: "${@port.tg_bot}"},
		"POSTGRES_HOST_PORT":   {Class: Computed, Template: "${@port.postgres}"},
		"REDIS_HOST_PORT":      {Class: Computed, Template: "${@port.redis}"},

		"SECRET_KEY_BASE":         {Class: Infra, Form: contract.Hex64, Why: "Rails signs its cookies with it, and wants 64 bytes in hexadecimal"},
		"APP_KEY":                 {Class: Infra, Form: contract.LaravelKey, Why: "Laravel's key, in Laravel's form"},
		"FERNET_KEY":              {Class: Infra, Form: contract.Fernet, Why: "a Fernet key, in Fernet's form"},
		"SECRETS_ENCRYPTION_KEY":  {Class: Infra, Form: contract.Fernet, Why: "a Fernet key, in Fernet's form"},
		"TELEGRAM_WEBHOOK_SECRET": {Class: Infra, Form: contract.URLSafe, Why: "the project makes it up, and tells Telegram"},
		"NEXTAUTH_URL":            {Class: User, Why: "the public address, which nothing here knows"},
	}
})

const (
	backendURL   = "http://backend:8000"
	postgresRest = "${POSTGRES_USER:url?postgres}:${POSTGRES_PASSWORD:url}@${POSTGRES_HOST?postgres}:${POSTGRES_PORT?5432}/${POSTGRES_DB:url}"
)

func exactly(name string, _ []string) (Verdict, bool) {
	v, ok := exact()[name]
	return v, ok
}

// serviceVars are the variables of the catalogue (vault/kind): those that hold a key, and those that go with it.
var serviceVars = sync.OnceValue(func() map[string]kind.Service {
	m := map[string]kind.Service{}
	for _, s := range kind.Services() {
		for _, n := range append(slices.Clone(s.Env), s.UserEnv) {
			if n != "" {
				m[n] = s
			}
		}
	}
	return m
})

func ofService(name string, _ []string) (Verdict, bool) {
	s, ok := serviceVars()[name]
	if !ok {
		return Verdict{}, false
	}
	v := Verdict{Class: User, Why: "it belongs to an account at " + s.Title}
	if slices.Contains(s.Env, name) {
		v.Service = s.Name
	}
	return v, true
}

// endsIn are the words that end the name of something that another party issues, whoever it is.
var endsIn = []string{"CLIENT_SECRET", "CLIENT_ID", "API_SECRET", "CONSUMER_SECRET", "CONSUMER_KEY", "DSN", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "LICENSE_KEY", "SERVICE_ACCOUNT", "CREDENTIALS", "BOT_TOKEN",
	"APP_ID", "ACCOUNT_ID", "ACCOUNT_SID", "PRIVATE_KEY", "PUBLIC_KEY", "SITE_KEY", "REFRESH_TOKEN", "OAUTH_TOKEN"}

// issued knows names by how they end. A private key is of a pair whose other half somebody has; nobody has the other half of what is made up here.
func issued(name string, _ []string) (Verdict, bool) {
	for _, end := range endsIn {
		if name == end || strings.HasSuffix(name, "_"+end) {
			return Verdict{Class: User, Why: "names that end in " + end + " are of something that another party issues"}, true
		}
	}
	return Verdict{}, false
}

// ofVendor knows names that hold the name of somebody who issues credentials.
func ofVendor(_ string, words []string) (Verdict, bool) {
	for i, w := range words {
		if vendors()[w] || i+1 < len(words) && vendors()[w+"_"+words[i+1]] {
			return Verdict{Class: User, Why: "it holds the name of a party that issues credentials, " + w}, true
		}
	}
	return Verdict{}, false
}
