package web

import (
	"fmt"
	"maps"
	"slices"
)

// rule says whether a route asks for the operator's presence.
type rule int

const (
	free   rule = iota // never; why says why that is safe
	always             // before anything is read
	judged             // where the request reveals, approves or widens; why says when
)

// act is one row of the table of all that may be done over the operator's socket.
type act struct {
	rule rule
	why  string
}

// acts is that table: what is not in it is not served, for New panics. Whoever adds a route decides here, in sight of the others, what an agent's own shell under
// the operator's uid may do with it (threat-model.md 70). What only reads shows no value and no address: that is every reply type's promise.
var acts = map[string]act{
	"GET /api/v1/status":  {free, "reads"},
	"GET /api/v1/leases":  {free, "reads"},
	"GET /api/v1/runs":    {free, "reads; commands are masked"},
	"GET /api/v1/servers": {free, "reads"},
	"GET /api/v1/agents":  {free, "reads; tokens are kept as hashes"},

	"GET /api/v1/servers/{id}":               {free, "reads"},
	"GET /api/v1/servers/{id}/ports":         {free, "reads"},
	"GET /api/v1/reserves":                   {free, "reads"},
	"GET /api/v1/projects":                   {free, "reads"},
	"POST /api/v1/projects":                  {free, "an empty project grants nothing"},
	"GET /api/v1/projects/{id}":              {free, "reads: names of secrets, no value"},
	"PATCH /api/v1/projects/{id}":            {judged, "where it changes the config; a title is nobody's affair"},
	"GET /api/v1/adoption":                   {free, "reads"},
	"POST /api/v1/adoption":                  {always, ""},
	"DELETE /api/v1/adoption":                {always, ""},
	"GET /api/v1/health":                     {free, "reads"},
	"GET /api/v1/openapi.json":               {free, "reads: the description of this API"},
	"GET /api/v1/workdirs":                   {free, "reads"},
	"GET /api/v1/resources":                  {free, "reads"},
	"GET /api/v1/resources/{handle}":         {free, "reads"},
	"GET /api/v1/resources/{handle}/history": {free, "reads"},

	"GET /api/v1/resources/{handle}/environment": {free, "reads: of a secret its name"},
	"GET /api/v1/audit":                          {free, "reads"},
	"POST /api/v1/audit/verify":                  {free, "reads"},
	"GET /api/v1/audit/export":                   {free, "reads; it is on record"},
	"GET /api/v1/keys":                           {free, "reads: recipients and labels, no wrapped key"},
	"GET /api/v1/changes":                        {free, "reads: names of files"},
	"GET /api/v1/approvals":                      {free, "reads: what waits for a person, no value"},
	"GET /api/v1/approvals/{approval}":           {free, "reads: of a call what was masked and made harmless"},
	"POST /api/v1/approvals/{approval}":          {judged, "where it approves; to deny takes away"},
	"GET /api/v1/changes/{run}/diff":             {judged, "where masks of what the run wrote are more than its budget; without presence they name nothing, and each is counted"},

	"GET /api/v1/resources/{handle}/host-key": {free, "tells a server's public key; the address stays hidden"},
	"POST /api/v1/servers/sync":               {judged, "where it confirms that servers are gone (confirm_shrunk); else it does what the clock does anyway"},

	"GET /api/v1/unlock": {free, "reads what plugins are asked, which the vault's file holds in clear; no passphrase's slot is among it"},

	"POST /api/v1/projects/{id}/config/secrets":                {judged, "where it gives anything but what a person is asked for, or changes what another is said to be"},
	"POST /api/v1/projects/{id}/environment":                   {judged, "where a person disabled or removed an environment of the project; else it makes what was not there, and reveals nothing"},
	"GET /api/v1/projects/{id}/config/secrets":                 {free, "reads: what is known of each, no value"},
	"GET /api/v1/projects/{id}/config/secrets/keys":            {free, "reads"},
	"GET /api/v1/projects/{id}/config/secrets/{key}/history":   {free, "reads"},
	"POST /api/v1/projects/{id}/config/secrets/{key}/rollback": {always, ""},
	"POST /api/v1/projects/{id}/config/secrets/{key}/purge":    {always, ""},
	"DELETE /api/v1/projects/{id}/config/secrets/{key}":        {always, ""},

	"GET /api/v1/intakes":                {free, "reads: what a person is asked for, no value and no code"},
	"POST /api/v1/intakes":               {free, "asks a person, and gives nothing"},
	"GET /api/v1/intakes/{intake}":       {free, "reads"},
	"POST /api/v1/intakes/{intake}/deny": {free, "takes away"},
	"POST /api/v1/intakes/{intake}/give": {always, ""},
	"POST /api/v1/intakes/{intake}/code": {always, ""},

	"POST /api/v1/daemon/stop":           {free, "takes away"},
	"POST /api/v1/lock":                  {free, "takes away"},
	"POST /api/v1/runs/{id}/stop":        {free, "takes away"},
	"DELETE /api/v1/leases/{lease}":      {free, "takes away"},
	"POST /api/v1/changes/{run}/discard": {free, "takes away what a run wrote; the folder stays as it is"},
	"DELETE /api/v1/agents/{name}":       {free, "takes away"},
	"POST /api/v1/runs/{id}/end":         {free, "tells how a person's run ended; it must be under way"},
	"POST /api/v1/presence/challenge":    {free, "asks for the proof; nothing of it can be answered without the key"},
	"POST /api/v1/presence":              {free, "is the proof itself"},

	"GET /api/v1/resources/{handle}/rotation":       {free, "reads: how far it is"},
	"POST /api/v1/resources/{handle}/rotation/plan": {free, "tells what would be done, and does nothing; what else holds the same value it tells with presence only"},

	"POST /api/v1/unlock":                   {judged, "unless it brings a slot's passphrase: the proof can be read only with the keys"},
	"PUT /api/v1/presence":                  {judged, "once a proof is set"},
	"POST /api/v1/resources":                {judged, "where the policy is wider than none"},
	"PATCH /api/v1/resources/{handle}":      {judged, "where it steers, gives a value, moves or enables"},
	"PUT /api/v1/resources/{handle}/policy": {judged, "where it widens"},
	"POST /api/v1/servers/{id}/manage":      {judged, "unless it says no"},
	"POST /api/v1/servers/{id}/reserve":     {judged, "unless it keeps more ports, and nothing else"},
	"POST /api/v1/reserves":                 {judged, "unless it keeps more ports, and nothing else"},
	"DELETE /api/v1/workdirs/{workdir}":     {judged, "where it lies within another"},
	"POST /api/v1/backup":                   {judged, "for recipients that the vault has not"},
	"POST /api/v1/import":                   {judged, "where it replaces what is there"},
	"POST /api/v1/runs/open":                {judged, "always, once the request is read: it reveals"},
	"POST /api/v1/runs/attend":              {judged, "always, once the request is read: it acts as the operator"},

	"POST /api/v1/export":                             {always, ""},
	"POST /api/v1/agents":                             {always, ""},
	"POST /api/v1/workdirs":                           {always, ""},
	"POST /api/v1/servers/{id}/adopt":                 {always, ""},
	"DELETE /api/v1/resources/{handle}":               {always, ""},
	"POST /api/v1/resources/{handle}/rename":          {always, ""},
	"POST /api/v1/resources/{handle}/rollback":        {always, ""},
	"POST /api/v1/resources/{handle}/purge":           {always, ""},
	"POST /api/v1/resources/{handle}/rotation":        {always, ""},
	"POST /api/v1/resources/{handle}/rotation/resume": {always, ""},
	"POST /api/v1/resources/{handle}/rotation/abort":  {always, ""},

	"POST /api/v1/files/{file}/accept": {always, ""},

	"POST /api/v1/changes/{run}/keep": {always, ""},
	"GET /api/v1/keys/header":         {always, ""},
	"POST /api/v1/keys":               {always, ""},
	"DELETE /api/v1/keys/{slot}":      {always, ""},
	"POST /api/v1/keys/rotate":        {always, ""},
}

// Act is what the table says of one route.
type Act struct {
	Route string // METHOD /api/v1/…, with {names} in place of what is named
	Asks  bool   // for presence: always, or where the request reveals, approves or widens
	Why   string // why not, or when
}

// Acts lists all routes, by name: for tests, and for who wants to know what a program of the operator's uid may do.
func Acts() []Act {
	out := make([]Act, 0, len(acts))
	for _, route := range slices.Sorted(maps.Keys(acts)) {
		out = append(out, Act{Route: route, Asks: acts[route].rule != free, Why: acts[route].why})
	}
	return out
}

// judge holds a route to the table. A disagreement is a defect of the program, and stops it before it serves.
func (s *Server) judge(pattern string, guarded bool) {
	a, there := acts[pattern]
	if !there || guarded != (a.rule == always) || !guarded && a.why == "" {
		panic(fmt.Sprintf("web: the route %q is not in the table of acts (web/acts.go), or is there under another rule", pattern))
	}
	s.served[pattern] = true
}
