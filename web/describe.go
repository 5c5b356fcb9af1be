package web

import (
	"net/http"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/web/api"
)

// operation is what the API's description says of one route besides what the tables of acts say.
type operation struct {
	summary string
	status  int    // of success
	in, out any    // zero values of the body's and the reply's types; nil: none
	media   string // of a reply that is no JSON
	tagged  bool   // the reply has an ETag, and a change takes If-Match
	example string // a body that is taken as it stands: JSON
}

// operations describes every route that is served over HTTP: tests hold it to the table, and replies to their schemas.
var operations = map[string]operation{
	"GET /api/v1/health":       {summary: "Whether the API answers, and the vault is open", status: http.StatusOK, out: api.Health{}},
	"GET /api/v1/openapi.json": {summary: "This description", status: http.StatusOK, out: map[string]any{}},
	"GET /api/v1/status":       {summary: "The daemon's state", status: http.StatusOK, out: api.Status{}},
	"GET /api/v1/leases":       {summary: "Leases that live", status: http.StatusOK, out: api.Page[vault.Lease]{}},
	"GET /api/v1/runs":         {summary: "Runs under way; commands are masked", status: http.StatusOK, out: api.Page[vault.Run]{}},
	"GET /api/v1/agents":       {summary: "Agents and operators' tokens; no token", status: http.StatusOK, out: api.Page[api.Agent]{}},

	"GET /api/v1/projects":        {summary: "Projects, by slug", status: http.StatusOK, out: api.Page[vault.Project]{}},
	"POST /api/v1/projects":       {summary: "Make a project", status: http.StatusCreated, in: api.NewProject{}, out: vault.Project{}, example: `{"slug":"weather-bot","title":"Weather bot"}`},
	"GET /api/v1/projects/{id}":   {summary: "A project with its config; names of secrets, no value", status: http.StatusOK, out: api.ProjectView{}, tagged: true},
	"PATCH /api/v1/projects/{id}": {summary: "Change a project's title, and keys of its config that are not secret", status: http.StatusOK, in: api.EditProject{}, out: api.ProjectView{}, tagged: true, example: `{"config":{"modules":["backend","tg_bot"],"estimated_ram_mb":512}}`},

	"POST /api/v1/projects/{id}/config/secrets":                {summary: "Merge secrets: all of them, or none; names that are not given stay", status: http.StatusOK, in: api.MergeSecrets{}, out: api.Merged{}, tagged: true, example: `{"secrets":{"A":"an-example-of-a-value"},"env_hints":{"A":"an example"}}`},
	"POST /api/v1/projects/{id}/environment":                   {summary: "Resolve the project's environment: what each variable is, what is missing; generates what is the project's own", status: http.StatusOK, in: api.ResolveEnvironment{}, out: api.Environment{}, example: `{"names":["APP_NAME","DATABASE_URL"]}`},
	"GET /api/v1/projects/{id}/config/secrets":                 {summary: "What is known of each secret; no value", status: http.StatusOK, out: api.Page[api.ProjectSecret]{}},
	"GET /api/v1/projects/{id}/config/secrets/keys":            {summary: "Names of secrets", status: http.StatusOK, out: api.SecretKeys{}},
	"GET /api/v1/projects/{id}/config/secrets/{key}/history":   {summary: "Versions of a secret, newest first", status: http.StatusOK, out: api.Page[api.SecretVersion]{}},
	"POST /api/v1/projects/{id}/config/secrets/{key}/rollback": {summary: "Make an earlier value present again", status: http.StatusOK, in: api.RollbackSecret{}, out: api.SecretVersion{}, example: `{"version":1,"why":"the new one does not work"}`},
	"POST /api/v1/projects/{id}/config/secrets/{key}/purge":    {summary: "Forget earlier values of a secret for good; the present one stays", status: http.StatusOK, in: api.Purge{}, out: api.PurgedSecret{}, example: `{"older_than_s":7776000}`},
	"DELETE /api/v1/projects/{id}/config/secrets/{key}":        {summary: "Remove a secret with its hint and its history; If-Match is for the secret's own version", status: http.StatusOK, out: api.SecretKeys{}, tagged: true},

	"GET /api/v1/resources":                      {summary: "Resources, by handle; no value", status: http.StatusOK, out: api.Page[api.Resource]{}},
	"POST /api/v1/resources":                     {summary: "Make a resource; a policy asks for presence, which nobody proves here", status: http.StatusCreated, in: api.NewResource{}, out: api.Resource{}, example: `{"kind":"generic","attrs":{"env":"SHOP_KEY"},"secrets":{"value":"an-example-of-a-value"}}`},
	"GET /api/v1/resources/{handle}":             {summary: "One resource", status: http.StatusOK, out: api.Resource{}, tagged: true},
	"PATCH /api/v1/resources/{handle}":           {summary: "Change what does not widen: a reason, labels that go, disabling", status: http.StatusOK, in: api.EditResource{}, out: api.Resource{}, tagged: true, example: `{"why":"looked at"}`},
	"PUT /api/v1/resources/{handle}/policy":      {summary: "Replace a policy by one that is no wider", status: http.StatusOK, in: api.SetPolicy{}, out: api.Resource{}, tagged: true, example: `{"policy":{"approval":"always","min_level":"basic"}}`},
	"GET /api/v1/resources/{handle}/history":     {summary: "Versions of a resource, newest first", status: http.StatusOK, out: api.Page[vault.Version]{}},
	"GET /api/v1/resources/{handle}/environment": {summary: "What an environment comes to now: what each variable is, how it is made, what is missing; no value of a secret", status: http.StatusOK, out: api.Environment{}},

	"GET /api/v1/resources/{handle}/rotation": {summary: "How far the exchange of a credential is", status: http.StatusOK, out: api.ResourceRotation{}},

	"GET /api/v1/servers":                {summary: "Servers that the provider tells of; no address", status: http.StatusOK, out: api.Servers{}},
	"GET /api/v1/servers/{id}":           {summary: "One server; no address", status: http.StatusOK, out: api.Server{}},
	"GET /api/v1/servers/{id}/ports":     {summary: "Ports of a server: held, kept, free", status: http.StatusOK, out: vault.ServerPorts{}},
	"GET /api/v1/reserves":               {summary: "What is kept of servers", status: http.StatusOK, out: api.Page[vault.NamedReserve]{}},
	"POST /api/v1/servers/{id}/reserve":  {summary: "Keep more ports of a server; anything else asks for presence", status: http.StatusOK, in: api.Reserve{}, out: vault.Reserve{}, example: `{"keep":"9000-9010"}`},
	"POST /api/v1/reserves":              {summary: "Keep more ports of all servers; anything else asks for presence", status: http.StatusOK, in: api.Reserve{}, out: vault.Reserve{}, example: `{"keep":"9000-9010"}`},
	"POST /api/v1/servers/sync":          {summary: "Run a cycle of sync now", status: http.StatusOK, out: map[string]any{}},
	"POST /api/v1/servers/{id}/manage":   {summary: "Take a server out of management; anything else asks for presence", status: http.StatusOK, in: api.Manage{}, out: api.Server{}, example: `{"intent":"no"}`},
	"GET /api/v1/audit":                  {summary: "The audit log, newest first", status: http.StatusOK, out: api.Page[audit.Record]{}},
	"POST /api/v1/audit/verify":          {summary: "Follow the audit log's chain", status: http.StatusOK, out: audit.Report{}},
	"GET /api/v1/audit/export":           {summary: "The whole audit log, signed", status: http.StatusOK, media: "application/x-ndjson"},
	"GET /api/v1/approvals":              {summary: "What waits for a person's word, and what they type", status: http.StatusOK, out: api.Page[api.Approval]{}},
	"GET /api/v1/approvals/{approval}":   {summary: "One thing that waits; of an agent's call, also what became of it", status: http.StatusOK, out: api.Approval{}},
	"POST /api/v1/approvals/{approval}":  {summary: "Deny what waits; to approve asks for presence, which nobody proves here", status: http.StatusOK, in: api.Decide{}, out: api.Decided{}, example: `{"decision":"deny","why":"not today"}`},
	"GET /api/v1/intakes":                {summary: "Requests that a person give a secret; no value", status: http.StatusOK, out: api.Page[api.Intake]{}},
	"POST /api/v1/intakes":               {summary: "Ask a person for a project's secret (project, key) or for a resource (kind, handle)", status: http.StatusCreated, in: api.NewIntake{}, out: api.Intake{}, example: `{"project":"default","key":"OPENAI_API_KEY","reason":"the bot answers by it"}`},
	"GET /api/v1/intakes/{intake}":       {summary: "One request", status: http.StatusOK, out: api.Intake{}},
	"POST /api/v1/intakes/{intake}/deny": {summary: "Say no to a request; who asked reads why", status: http.StatusOK, in: api.DenyIntake{}, out: api.Intake{}, example: `{"why":"use the test key"}`},
	"POST /api/v1/intakes/{intake}/give": {summary: "Answer a request: a project's secret with its value, a resource with its fields", status: http.StatusOK, in: api.GiveIntake{}, out: api.Intake{}, example: `{"value":"an-example-of-a-value"}`},
	"DELETE /api/v1/leases/{lease}":      {summary: "End a lease: runs that use it end, and what it reserved is free", status: http.StatusOK, out: vault.Lease{}},
	"POST /api/v1/runs/{id}/stop":        {summary: "End a run", status: http.StatusOK, out: api.StoppedRun{}},
	"DELETE /api/v1/agents/{name}":       {summary: "Remove an agent: its token opens nothing any more", status: http.StatusOK, out: api.Agent{}},
	"POST /api/v1/lock":                  {summary: "Lock the vault", status: http.StatusOK, out: api.Lock{}},
}
