// Package audit keeps the record of who did what with which resource, so that nothing happens without a trace and no trace can
// be changed, removed or slipped in unseen.
//
// Promise: every authorisation, delivery, approval, secret write and denial is one record, appended in the same transaction as
// what it records: either both are durable or neither. Each record holds the hash of the one before; the head is kept under a MAC; checkpoints are signed
// (Ed25519), so that an export can be verified offline.
//
// Attack stopped: an agent (or a writer of the database) that covers its tracks; a record never carries a secret: details are short,
// public words of ours, and values from outside are names and counts only.
package audit

import "time"

// ActorType says what kind of caller acts.
type ActorType string

// The actor types, frozen.
const (
	Agent    ActorType = "agent"    // an LLM client, by MCP
	Operator ActorType = "operator" // a person or their program, by the operator's door
	System   ActorType = "system"   // zavhoz itself: cron, start-up
)

// Actor is who acts, resolved in exactly one place (the door) and passed on from there.
type Actor struct {
	Type    ActorType `json:"type"`
	ID      string    `json:"id,omitempty"`      // agt_…, or "" for the operator and system
	Name    string    `json:"name"`              // agent's name, "operator", "sync", …
	Door    string    `json:"door,omitempty"`    // stdio, http, sse, operator, internal
	Context string    `json:"context,omitempty"` // a thread or session that the client names
}

// Action is a frozen public name of what was done, noun.verb.
type Action string

// The actions.
const (
	VaultInit        Action = "vault.init"
	VaultOpen        Action = "vault.open"
	VaultLock        Action = "vault.lock"
	VaultUnlock      Action = "vault.unlock"
	VaultBackup      Action = "vault.backup"
	VaultRestore     Action = "vault.restore"
	VaultMigrate     Action = "vault.migrate"
	VaultCompact     Action = "vault.compact"
	VaultImport      Action = "vault.import"
	ResourceAdd      Action = "resource.add"
	ResourceEdit     Action = "resource.edit"
	ResourceRename   Action = "resource.rename"
	ResourceRemove   Action = "resource.remove"
	ResourceRollback Action = "resource.rollback"
	ResourcePurge    Action = "resource.purge"
	ResourcePolicy   Action = "resource.policy"
	ResourceExport   Action = "resource.export"
	ResourceList     Action = "resource.list"
	LeaseAllocate    Action = "lease.allocate"
	LeaseRelease     Action = "lease.release"
	LeaseUse         Action = "lease.use"
	AgentAdd         Action = "agent.add"
	AgentRemove      Action = "agent.remove"
	AgentLogin       Action = "agent.login"
	ProjectAdd       Action = "project.add"
	ProjectEdit      Action = "project.edit"
	ProjectAdopt     Action = "project.adopt"
	EnvResolve       Action = "environment.resolve" // of a project: what was lacking was generated
	SecretMerge      Action = "secret.merge"        // of a project: values were given
	SecretRemove     Action = "secret.remove"
	SecretPurge      Action = "secret.purge" // earlier values went for good
	SecretRollback   Action = "secret.rollback"
	SecretList       Action = "secret.list"
	IntakeRequest    Action = "intake.request" // a person is asked for a secret
	IntakeCode       Action = "intake.code"    // a code was made that opens the request's page
	IntakeGive       Action = "intake.give"
	IntakeDeny       Action = "intake.deny"
	ServerSync       Action = "server.sync"
	ServerAdopt      Action = "server.adopt"
	ServerManage     Action = "server.manage"
	ServerList       Action = "server.list"
	ServerReserve    Action = "server.reserve"
	WorkdirAdd       Action = "workdir.add"
	ApprovalAsk      Action = "approval.ask"    // an agent's call waits for a person
	ApprovalDecide   Action = "approval.decide" // of such a call; of anything else only where it was refused: what is decided is on record by its own act
	ApprovalSpend    Action = "approval.spend"  // with the run that it was for
	WorkdirRemove    Action = "workdir.remove"
	RunStart         Action = "run.start"
	RunAttend        Action = "run.attend"
	RunSettle        Action = "run.settle"
	RunEnd           Action = "run.end"
	RunStop          Action = "run.stop"
	RunRead          Action = "run.read"
	EgressRequest    Action = "egress.request"
	EgressServer     Action = "egress.server"
	EgressDatabase   Action = "egress.database"
	PresenceSet      Action = "presence.set"
	PresenceCheck    Action = "presence.check"
	HostKeyPin       Action = "hostkey.pin"
	KeyAdd           Action = "key.add"
	KeyRemove        Action = "key.remove"
	KeyRotate        Action = "key.rotate"
	KeyRetire        Action = "key.retire" // a rotation has ended: the former data key opens nothing any more
	KeyCheck         Action = "key.check"
	AuditExport      Action = "audit.export"
	APIRequest       Action = "api.request" // over HTTP, with a token: refused before anything was read
	StatusRead       Action = "status.read"
	FileRead         Action = "file.read"   // a file that is a home of secrets was taken into force, or was refused
	FileWrite        Action = "file.write"  // such a file is about to be written, and was
	FileAccept       Action = "file.accept" // a person says that what such a file lost is meant to be gone
)

// Outcome is how it ended.
type Outcome string

// The outcomes, frozen.
const (
	Allowed Outcome = "allowed"
	Denied  Outcome = "denied"
	Failed  Outcome = "failed"
)

// Event is what a caller records. Subject and Detail hold ids, handles, names of fields, codes and counts; never a value.
type Event struct {
	Actor   Actor             `json:"actor"`
	Action  Action            `json:"action"`
	Outcome Outcome           `json:"outcome"`
	Subject string            `json:"subject,omitempty"` // the id of the record acted on (res_…, lse_…, run_…)
	Handle  string            `json:"handle,omitempty"`  // its handle at the time
	Code    string            `json:"code,omitempty"`    // fault code, where denied or failed
	Detail  map[string]string `json:"detail,omitempty"`
}

// Record is an event in the chain.
type Record struct {
	Format int       `json:"format"` // 1
	Writer string    `json:"writer"` // the chain it belongs to: one a writing process (replica)
	Seq    uint64    `json:"seq"`    // from 1, without gaps
	Time   time.Time `json:"time"`   // UTC
	Event
	Count uint64 `json:"count,omitempty"` // >1: this many equal denials, aggregated
	Prev  string `json:"prev"`            // hex SHA-256 of the record before; 64 zeros for the first
	Hash  string `json:"hash"`            // hex SHA-256 over the domain, prev and the record without hash
}
