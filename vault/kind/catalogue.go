package kind

import "slices"

// catalogue is what api_key knows. One row a service; a test checks each. Denied is what makes, changes or shows credentials (threat-model.md 40).
// Sources: each service's own API reference (Doc).
func catalogue() []Service {
	return slices.Concat(models, forges, clouds, messaging, operations, refused)
}

var models = []Service{
	{Name: "openai", Title: "OpenAI", Env: []string{"OPENAI_API_KEY"}, Header: auth, Template: bearer, Key: `^sk-[A-Za-z0-9_-]{20,}$`, Doc: "https://platform.openai.com/docs/api-reference",
		Hosts: []string{"api.openai.com /v1/* !/v1/organization/* !POST:/v1/realtime/sessions !POST:/v1/realtime/client_secrets !POST:/v1/realtime/transcription_sessions !POST:/v1/chatkit/sessions"}},
	{Name: "anthropic", Title: "Anthropic", Env: []string{"ANTHROPIC_API_KEY"}, Header: "X-Api-Key", Template: bare, Key: `^sk-ant-[A-Za-z0-9_-]{20,}$`, Doc: "https://docs.anthropic.com/en/api/overview",
		Hosts: []string{"api.anthropic.com /v1/* !/v1/organizations/*"}},
	{Name: "google_gemini", Title: "Google Gemini", Env: []string{"GEMINI_API_KEY", "GOOGLE_API_KEY"}, Header: "X-Goog-Api-Key", Template: bare, Key: `^AIza[A-Za-z0-9_-]{35}$`, Doc: "https://ai.google.dev/api",
		Hosts: []string{"generativelanguage.googleapis.com !POST:/v1alpha/auth_tokens !POST:/v1beta/auth_tokens !POST:/v1/auth_tokens"}},
	{Name: "mistral", Title: "Mistral", Env: []string{"MISTRAL_API_KEY"}, Header: auth, Template: bearer, Doc: "https://docs.mistral.ai/api", Hosts: []string{"api.mistral.ai /v1/*"}},
	{Name: "groq", Title: "Groq", Env: []string{"GROQ_API_KEY"}, Header: auth, Template: bearer, Key: `^gsk_[A-Za-z0-9]{20,}$`, Doc: "https://console.groq.com/docs/api-reference", Hosts: []string{"api.groq.com /openai/v1/*"}},
	{Name: "together", Title: "Together AI", Env: []string{"TOGETHER_API_KEY"}, Header: auth, Template: bearer, Doc: "https://docs.together.ai/reference",
		Hosts: []string{"api.together.xyz /v1/* !/v1/api-keys/*", "api.together.ai /v1/* !/v1/api-keys/*"}},
	{Name: "openrouter", Title: "OpenRouter", Env: []string{"OPENROUTER_API_KEY"}, Header: auth, Template: bearer, Key: `^sk-or-[A-Za-z0-9_-]{20,}$`, Doc: "https://openrouter.ai/docs/api-reference",
		Hosts: []string{"openrouter.ai /api/v1/* !/api/v1/keys/* !/api/v1/auth/*"}},
	{Name: "deepseek", Title: "DeepSeek", Env: []string{"DEEPSEEK_API_KEY"}, Header: auth, Template: bearer, Key: `^sk-[A-Za-z0-9]{20,}$`, Doc: "https://api-docs.deepseek.com", Hosts: []string{"api.deepseek.com"}},
	{Name: "cohere", Title: "Cohere", Env: []string{"COHERE_API_KEY", "CO_API_KEY"}, Header: auth, Template: bearer, Doc: "https://docs.cohere.com/reference/about",
		Hosts: []string{"api.cohere.com", "api.cohere.ai"}},
	{Name: "huggingface", Title: "Hugging Face", Env: []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}, Header: auth, Template: bearer, Key: `^hf_[A-Za-z0-9]{20,}$`, Doc: "https://huggingface.co/docs/hub/api",
		Hosts: []string{"huggingface.co !/api/settings/* !/settings/* !/oauth/*", "router.huggingface.co", "api-inference.huggingface.co"}},
	{Name: "replicate", Title: "Replicate", Env: []string{"REPLICATE_API_TOKEN"}, Header: auth, Template: bearer, Key: `^r8_[A-Za-z0-9]{20,}$`, Doc: "https://replicate.com/docs/reference/http",
		Hosts: []string{"api.replicate.com /v1/* !/v1/webhooks/default/secret"}},
	{Name: "perplexity", Title: "Perplexity", Env: []string{"PERPLEXITY_API_KEY", "PPLX_API_KEY"}, Header: auth, Template: bearer, Key: `^pplx-[A-Za-z0-9]{20,}$`, Doc: "https://docs.perplexity.ai/api-reference",
		Hosts: []string{"api.perplexity.ai !/generate_auth_token !/revoke_auth_token"}},
	{Name: "xai", Title: "xAI", Env: []string{"XAI_API_KEY"}, Header: auth, Template: bearer, Key: `^xai-[A-Za-z0-9]{20,}$`, Doc: "https://docs.x.ai/docs/api-reference", Hosts: []string{"api.x.ai /v1/* !POST:/v1/realtime/client_secrets"}},
	{Name: "elevenlabs", Title: "ElevenLabs", Env: []string{"ELEVENLABS_API_KEY"}, Header: "Xi-Api-Key", Template: bare, Doc: "https://elevenlabs.io/docs/api-reference",
		Hosts: []string{"api.elevenlabs.io !/v1/service-accounts/* !/v1/single-use-token/* !/v1/convai/conversation/get-signed-url !/v1/convai/secrets/* !/v1/workspace/*"}},
	{Name: "fireworks", Title: "Fireworks AI", Env: []string{"FIREWORKS_API_KEY"}, Header: auth, Template: bearer, Key: `^fw_[A-Za-z0-9]{16,}$`, Doc: "https://docs.fireworks.ai/api-reference",
		Hosts: []string{"api.fireworks.ai !/v1/accounts/*/users/*/apiKeys/* !/v1/accounts/*/users/*/apiKeys:delete !/v1/accounts/*/secrets/*"}},
	{Name: "voyage", Title: "Voyage AI", Env: []string{"VOYAGE_API_KEY"}, Header: auth, Template: bearer, Key: `^pa-[A-Za-z0-9_-]{20,}$`, Doc: "https://docs.voyageai.com/reference", Hosts: []string{"api.voyageai.com /v1/*"}},
	{Name: "tavily", Title: "Tavily", Env: []string{"TAVILY_API_KEY"}, Header: auth, Template: bearer, Key: `^tvly-[A-Za-z0-9_-]{16,}$`, Doc: "https://docs.tavily.com/documentation/api-reference/introduction", Hosts: []string{"api.tavily.com"}},
	{Name: "brave_search", Title: "Brave Search", Env: []string{"BRAVE_API_KEY"}, Header: "X-Subscription-Token", Template: bare, Doc: "https://api-dashboard.search.brave.com/app/documentation", Hosts: []string{"api.search.brave.com GET /res/v1/*"}},
}

var refused = []Service{
	{Name: "aws", Title: "AWS", Doc: "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html",
		Refused: "every request is signed with the secret key (SigV4), so no placeholder can stand in for it until zavhoz signs requests itself"},
	{Name: "google_service_account", Title: "a Google service account", Doc: "https://developers.google.com/identity/protocols/oauth2/service-account",
		Refused: "its JSON file holds a private key that signs a request for a token, so no placeholder can stand in for it until zavhoz signs requests itself"},
	{Name: "google_oauth", Title: "a Google OAuth client", Doc: "https://developers.google.com/identity/protocols/oauth2",
		Refused: "the refresh token travels in the body of a request, where no placeholder is replaced"},
	{Name: "azure", Title: "Azure (a service principal)", Doc: "https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow",
		Refused: "the client secret travels in the body of a request for a token, where no placeholder is replaced"},
}
