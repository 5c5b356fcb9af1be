package main

import (
	"path/filepath"
	"strings"
)

// knownAgent is what a coding agent needs beside its program: the hosts of its own login and of its own model's API, and switches that make it content with an
// install that it cannot change. Telemetry, updates and downloads are not in it: an agent works without.
type knownAgent struct {
	hosts []string
	env   map[string]string
}

// knownAgents are told by the name of the program.
var knownAgents = map[string]knownAgent{
	"claude": {
		hosts: []string{"api.anthropic.com", "claude.ai", "platform.claude.com", "console.anthropic.com"},
		env:   map[string]string{"DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
	},
	"codex":  {hosts: []string{"api.openai.com", "auth.openai.com", "chatgpt.com"}},
	"gemini": {hosts: []string{"generativelanguage.googleapis.com", "cloudcode-pa.googleapis.com", "oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com"}},
	"cursor-agent": {
		hosts: []string{"api2.cursor.sh", "api3.cursor.sh", "agent.api5.cursor.sh", "repo42.cursor.sh", "authenticate.cursor.sh", "authenticator.cursor.sh", "cursor.com"},
	},
	"copilot": {
		hosts: []string{"github.com", "api.github.com", "api.githubcopilot.com", "api.individual.githubcopilot.com", "api.business.githubcopilot.com", "api.enterprise.githubcopilot.com"},
	},
	"aider":    {hosts: []string{"api.anthropic.com", "api.openai.com", "openrouter.ai", "api.deepseek.com", "generativelanguage.googleapis.com"}},
	"opencode": {hosts: []string{"opencode.ai", "models.dev", "api.anthropic.com", "console.anthropic.com", "api.openai.com", "openrouter.ai"}},
	"goose":    {hosts: []string{"api.anthropic.com", "api.openai.com", "openrouter.ai", "generativelanguage.googleapis.com"}},
	"amp":      {hosts: []string{"ampcode.com"}},
	"crush":    {hosts: []string{"catwalk.charm.sh", "api.anthropic.com", "api.openai.com", "openrouter.ai"}},
	"qwen":     {hosts: []string{"chat.qwen.ai", "portal.qwen.ai", "dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com"}},
}

// agentOf finds the known agent that a program is.
func agentOf(program string) (knownAgent, bool) {
	k, ok := knownAgents[strings.TrimSuffix(filepath.Base(program), ".exe")]
	return k, ok
}
