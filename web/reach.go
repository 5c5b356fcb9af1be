package web

import "github.com/zavhoz/zavhoz/vault"

// reach says how a token that is bound to projects is held to them.
type reach int

const (
	ofVault    reach = iota // it is not: who is bound is refused
	ofProject               // the handler, and the vault, look
	ofResource              // the resource that the path names must lie within; a list shows what does
)

// over is what a bearer of an operator's token may do by one route over HTTP.
type over struct {
	scope vault.Scope // "": nothing; it is done on the operator's socket
	reach reach
	acts  bool     // the scope stands for presence: elsewhere what asks for presence is refused
	query []string // parameters that it takes
}

var (
	listing   = []string{"limit", "cursor"}
	asked     = []string{"kind", "project", "label", "limit", "cursor"}
	looked    = []string{"action", "actor", "handle", "outcome", "since", "limit", "cursor"}
	notByHTTP = over{}
)

// overHTTP judges every row of the table of acts a second time: what may a program on another machine do that has a token? What hands out values, keys, tokens or the
// machine's files, what proves presence, and what always asks for it is not among it: a token is no person. What judges its request is served, and refused where the
// request widens. A route that nobody put here is not served over HTTP, and a test asks why.
var overHTTP = map[string]over{
	"GET /api/v1/health":       {scope: vault.ScopeRead, reach: ofProject},
	"GET /api/v1/openapi.json": {scope: vault.ScopeRead, reach: ofProject},
	"GET /api/v1/status":       {scope: vault.ScopeRead},
	"GET /api/v1/leases":       {scope: vault.ScopeRead, reach: ofProject, query: listing},
	"GET /api/v1/runs":         {scope: vault.ScopeRead, query: listing},
	"GET /api/v1/servers":      {scope: vault.ScopeRead},
	"GET /api/v1/agents":       {scope: vault.ScopeRead, query: listing},

	"GET /api/v1/projects":                                     {scope: vault.ScopeRead, reach: ofProject, query: listing},
	"POST /api/v1/projects":                                    {scope: vault.ScopeWrite, reach: ofProject},
	"GET /api/v1/projects/{id}":                                {scope: vault.ScopeRead, reach: ofProject},
	"PATCH /api/v1/projects/{id}":                              {scope: vault.ScopeWrite, reach: ofProject, acts: true},
	"POST /api/v1/projects/{id}/config/secrets":                {scope: vault.ScopeWrite, reach: ofProject, acts: true},
	"POST /api/v1/projects/{id}/environment":                   {scope: vault.ScopeWrite, reach: ofProject},
	"GET /api/v1/projects/{id}/config/secrets":                 {scope: vault.ScopeRead, reach: ofProject, query: listing},
	"GET /api/v1/projects/{id}/config/secrets/keys":            {scope: vault.ScopeRead, reach: ofProject},
	"GET /api/v1/projects/{id}/config/secrets/{key}/history":   {scope: vault.ScopeRead, reach: ofProject},
	"POST /api/v1/projects/{id}/config/secrets/{key}/rollback": {scope: vault.ScopeWrite, reach: ofProject, acts: true},
	"POST /api/v1/projects/{id}/config/secrets/{key}/purge":    {scope: vault.ScopeWrite, reach: ofProject, acts: true},
	"DELETE /api/v1/projects/{id}/config/secrets/{key}":        {scope: vault.ScopeWrite, reach: ofProject, acts: true},
	"GET /api/v1/resources":                                    {scope: vault.ScopeRead, reach: ofResource, query: asked},
	"POST /api/v1/resources":                                   {scope: vault.ScopeWrite, reach: ofResource},
	"GET /api/v1/resources/{handle}":                           {scope: vault.ScopeRead, reach: ofResource},
	"PATCH /api/v1/resources/{handle}":                         {scope: vault.ScopeWrite, reach: ofResource},
	"PUT /api/v1/resources/{handle}/policy":                    {scope: vault.ScopeWrite, reach: ofResource},
	"GET /api/v1/resources/{handle}/history":                   {scope: vault.ScopeRead, reach: ofResource},
	"GET /api/v1/resources/{handle}/environment":               {scope: vault.ScopeRead, reach: ofResource},
	"GET /api/v1/resources/{handle}/rotation":                  {scope: vault.ScopeRead, reach: ofResource},
	"POST /api/v1/servers/sync":                                {scope: vault.ScopeWrite, query: []string{"confirm_shrunk"}},
	"GET /api/v1/servers/{id}":                                 {scope: vault.ScopeRead},
	"GET /api/v1/servers/{id}/ports":                           {scope: vault.ScopeRead},
	"GET /api/v1/reserves":                                     {scope: vault.ScopeRead},
	"POST /api/v1/servers/{id}/reserve":                        {scope: vault.ScopeWrite},
	"POST /api/v1/reserves":                                    {scope: vault.ScopeWrite},
	"POST /api/v1/servers/{id}/manage":                         {scope: vault.ScopeWrite},
	"GET /api/v1/audit":                                        {scope: vault.ScopeAdmin, query: looked},
	"POST /api/v1/audit/verify":                                {scope: vault.ScopeAdmin},
	"GET /api/v1/audit/export":                                 {scope: vault.ScopeAdmin},
	"GET /api/v1/approvals":                                    {scope: vault.ScopeRead, reach: ofProject, query: listing},
	"GET /api/v1/approvals/{approval}":                         {scope: vault.ScopeRead, reach: ofProject},
	"POST /api/v1/approvals/{approval}":                        {scope: vault.ScopeAdmin, reach: ofProject},
	"GET /api/v1/intakes":                                      {scope: vault.ScopeRead, reach: ofProject, query: listing},
	"POST /api/v1/intakes":                                     {scope: vault.ScopeWrite, reach: ofProject},
	"GET /api/v1/intakes/{intake}":                             {scope: vault.ScopeRead, reach: ofProject},
	"POST /api/v1/intakes/{intake}/deny":                       {scope: vault.ScopeWrite, reach: ofProject},
	"POST /api/v1/intakes/{intake}/give":                       {scope: vault.ScopeWrite, reach: ofProject, acts: true},
	"DELETE /api/v1/leases/{lease}":                            {scope: vault.ScopeAdmin, reach: ofProject},
	"POST /api/v1/runs/{id}/stop":                              {scope: vault.ScopeAdmin},
	"DELETE /api/v1/agents/{name}":                             {scope: vault.ScopeAdmin},
	"POST /api/v1/lock":                                        {scope: vault.ScopeAdmin},

	// The machine's own: its folders, its files, its terminals, its keys, its daemon.
	"GET /api/v1/workdirs":                          notByHTTP,
	"POST /api/v1/workdirs":                         notByHTTP,
	"DELETE /api/v1/workdirs/{workdir}":             notByHTTP,
	"GET /api/v1/changes":                           notByHTTP,
	"GET /api/v1/changes/{run}/diff":                notByHTTP,
	"POST /api/v1/changes/{run}/keep":               notByHTTP,
	"POST /api/v1/changes/{run}/discard":            notByHTTP,
	"POST /api/v1/runs/open":                        notByHTTP,
	"POST /api/v1/runs/attend":                      notByHTTP,
	"POST /api/v1/runs/{id}/end":                    notByHTTP,
	"GET /api/v1/keys":                              notByHTTP,
	"GET /api/v1/keys/header":                       notByHTTP,
	"POST /api/v1/keys":                             notByHTTP,
	"DELETE /api/v1/keys/{slot}":                    notByHTTP,
	"POST /api/v1/keys/rotate":                      notByHTTP,
	"GET /api/v1/adoption":                          notByHTTP,
	"POST /api/v1/adoption":                         notByHTTP,
	"DELETE /api/v1/adoption":                       notByHTTP,
	"POST /api/v1/files/{file}/accept":              notByHTTP,
	"GET /api/v1/unlock":                            notByHTTP,
	"POST /api/v1/unlock":                           notByHTTP,
	"POST /api/v1/daemon/stop":                      notByHTTP,
	"POST /api/v1/backup":                           notByHTTP,
	"POST /api/v1/import":                           notByHTTP,
	"POST /api/v1/export":                           notByHTTP,
	"POST /api/v1/presence":                         notByHTTP,
	"PUT /api/v1/presence":                          notByHTTP,
	"POST /api/v1/presence/challenge":               notByHTTP,
	"GET /api/v1/resources/{handle}/host-key":       notByHTTP, // it dials from here, at the word of who is not here
	"POST /api/v1/resources/{handle}/rotation/plan": notByHTTP, // it takes values

	// A person's, always with presence.
	"POST /api/v1/intakes/{intake}/code":              notByHTTP, // a code is for a person, from a person
	"POST /api/v1/agents":                             notByHTTP,
	"POST /api/v1/servers/{id}/adopt":                 notByHTTP,
	"DELETE /api/v1/resources/{handle}":               notByHTTP,
	"POST /api/v1/resources/{handle}/rename":          notByHTTP,
	"POST /api/v1/resources/{handle}/rollback":        notByHTTP,
	"POST /api/v1/resources/{handle}/purge":           notByHTTP,
	"POST /api/v1/resources/{handle}/rotation":        notByHTTP,
	"POST /api/v1/resources/{handle}/rotation/resume": notByHTTP,
	"POST /api/v1/resources/{handle}/rotation/abort":  notByHTTP,
}
