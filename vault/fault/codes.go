package fault

// Code is a stable, public name of a failure. Codes are never renamed or reused (docs/design.md §12); testdata/formats/codes.golden pins them.
type Code string

// The codes, by the noun they speak of.
const (
	InvalidArgument     Code = "invalid_argument"
	Unauthenticated     Code = "unauthenticated"
	NotPermitted        Code = "not_permitted"
	PresenceRequired    Code = "presence_required"
	RateLimited         Code = "rate_limited"
	TooLarge            Code = "too_large"
	TimedOut            Code = "timed_out"
	Canceled            Code = "canceled"
	Busy                Code = "busy"
	Internal            Code = "internal"
	NotSupported        Code = "not_supported"
	UnknownTool         Code = "unknown_tool"
	DaemonUnavailable   Code = "daemon_unavailable"
	DaemonRestarted     Code = "daemon_restarted"
	NotInitialized      Code = "not_initialized"
	AlreadyInitialized  Code = "already_initialized"
	VaultLocked         Code = "vault_locked"
	VaultCorrupt        Code = "vault_corrupt"
	VaultFormat         Code = "vault_format"
	VaultBusy           Code = "vault_busy"
	WrongIdentity       Code = "wrong_identity"
	KeyFileExposed      Code = "key_file_exposed"
	RecordTampered      Code = "record_tampered"
	VersionConflict     Code = "version_conflict"
	UnknownResource     Code = "unknown_resource"
	UnknownKind         Code = "unknown_kind"
	UnknownService      Code = "unknown_service"
	UnknownField        Code = "unknown_field"
	UnknownProject      Code = "unknown_project"
	UnknownAgent        Code = "unknown_agent"
	UnknownServer       Code = "unknown_server"
	UnknownVersion      Code = "unknown_version"
	UnknownWorkdir      Code = "unknown_workdir"
	UnknownSecret       Code = "unknown_secret"
	UnknownApproval     Code = "unknown_approval"
	UnknownIntake       Code = "unknown_intake"
	IntakeEnded         Code = "intake_ended"
	HandleTaken         Code = "handle_taken"
	NameTaken           Code = "name_taken"
	SecretInvalid       Code = "secret_invalid"
	SecretMissing       Code = "secret_missing"
	SecretInArgv        Code = "secret_in_argv"
	ResourceDisabled    Code = "resource_disabled"
	ResourceExpired     Code = "resource_expired"
	ResourceExhausted   Code = "resource_exhausted"
	ResourceBusy        Code = "resource_busy"
	NoneAvailable       Code = "none_available"
	UnknownLease        Code = "unknown_lease"
	LeaseExpired        Code = "lease_expired"
	LeaseReleased       Code = "lease_released"
	LeaseExhausted      Code = "lease_exhausted"
	LeaseNotYours       Code = "lease_not_yours"
	IdempotencyMismatch Code = "idempotency_mismatch"
	ApprovalRequired    Code = "approval_required"
	ApprovalDenied      Code = "approval_denied"
	DeliveryRefused     Code = "delivery_refused"
	CommandNotPinned    Code = "command_not_pinned"
	CommandMismatch     Code = "command_mismatch"
	BinaryChanged       Code = "binary_changed"
	BinaryMissing       Code = "binary_missing"
	WorkdirRefused      Code = "workdir_refused"
	IsolationMissing    Code = "isolation_unavailable"
	OutputWithheld      Code = "output_withheld"
	UnknownRun          Code = "unknown_run"
	RunNotYours         Code = "run_not_yours"
	RunLost             Code = "run_lost"
	HostNotAllowed      Code = "host_not_allowed"
	RequestNotAllowed   Code = "request_not_allowed"
	HTTPSRequired       Code = "https_required"
	StandInMisplaced    Code = "stand_in_misplaced"
	ReplyUnreadable     Code = "reply_unreadable"
	HostKeyUnknown      Code = "host_key_unknown"
	HostKeyMismatch     Code = "host_key_mismatch"
	ConnectionFailed    Code = "connection_failed"
	RemoteAuthFailed    Code = "remote_auth_failed"
	ProviderUnavailable Code = "provider_unavailable"
	ProviderLogin       Code = "provider_login"
	ProviderIPDenied    Code = "provider_ip_denied"
	ProviderThrottled   Code = "provider_throttled"
	ProviderReply       Code = "provider_reply"
	SyncNotConfigured   Code = "sync_not_configured"
	SyncIncomplete      Code = "sync_incomplete"
	SyncShrunk          Code = "sync_shrunk"
	ImpossibleCapacity  Code = "impossible_capacity"
	ServerNotReady      Code = "server_not_ready"
	StaleMetrics        Code = "stale_metrics"
	ReservedMemory      Code = "insufficient_reserved_memory"
	FreeMemory          Code = "insufficient_free_memory"
	ReservedDisk        Code = "insufficient_reserved_disk"
	FreeDisk            Code = "insufficient_free_disk"
	ReservedCPU         Code = "insufficient_reserved_cpu"
	NoFreePort          Code = "no_free_port"
	PortNotAllowed      Code = "port_not_allowed"
	AuditBroken         Code = "audit_broken"
	AuditUnavailable    Code = "audit_unavailable"
)

// Meaning is what a code implies at each door.
type Meaning struct {
	HTTP  int  // status of the REST API
	Exit  int  // exit code of the command line (see docs/exit-codes.md)
	Retry bool // the same call may go through later, unchanged
}

// Exit codes of the command line, frozen. A run's own exit code passes through unchanged.
const (
	ExitOK          = 0
	ExitFailure     = 1 // anything without a class of its own
	ExitUsage       = 2 // the command line, or a value given, is wrong
	ExitNotFound    = 3 // what was named does not exist
	ExitConflict    = 4 // exists already, or changed meanwhile
	ExitDenied      = 5 // policy, permission or presence
	ExitLocked      = 6 // the vault is locked or not made yet
	ExitCorrupt     = 7 // integrity: the file, a record, the audit chain, a key
	ExitUnavailable = 8 // a daemon, provider or host cannot be reached, or is busy: try again
	ExitPartial     = 9 // done in part: the rest is named
	ExitRunTimeout  = 124
	ExitRunRefused  = 125 // run: refused or failed before the command started
	ExitRunNotFound = 127
)

var (
	usage    = Meaning{400, ExitUsage, false}
	missing  = Meaning{404, ExitNotFound, false}
	conflict = Meaning{409, ExitConflict, false}
	denied   = Meaning{403, ExitDenied, false}
	corrupt  = Meaning{500, ExitCorrupt, false}
	away     = Meaning{503, ExitUnavailable, true}
)

var registry = map[Code]Meaning{
	InvalidArgument: usage, SecretInvalid: {422, ExitUsage, false}, SecretMissing: {422, ExitUsage, false}, SecretInArgv: usage,
	UnknownKind: usage, UnknownService: usage, UnknownField: usage, NotSupported: {501, ExitFailure, false}, TooLarge: {413, ExitUsage, false},
	Unauthenticated: {401, ExitDenied, false}, NotPermitted: denied, PresenceRequired: denied, ApprovalRequired: denied, ApprovalDenied: denied,
	RateLimited: {429, ExitUnavailable, true}, TimedOut: {504, ExitUnavailable, true}, Canceled: {499, ExitFailure, true}, Busy: away,
	Internal: {500, ExitFailure, false}, UnknownTool: missing,
	DaemonUnavailable: away, DaemonRestarted: away, NotInitialized: {503, ExitLocked, false}, AlreadyInitialized: conflict,
	VaultLocked: {503, ExitLocked, true}, VaultCorrupt: corrupt, VaultFormat: corrupt, VaultBusy: away, WrongIdentity: corrupt,
	KeyFileExposed: corrupt, RecordTampered: corrupt, VersionConflict: {412, ExitConflict, true},
	UnknownResource: missing, UnknownProject: missing, UnknownAgent: missing, UnknownServer: missing, UnknownVersion: missing, UnknownWorkdir: missing, UnknownSecret: missing, UnknownApproval: missing, UnknownIntake: missing,
	HandleTaken: conflict, NameTaken: conflict, IntakeEnded: conflict, ResourceDisabled: denied, ResourceExpired: denied, ResourceExhausted: denied, ResourceBusy: {409, ExitConflict, true},
	NoneAvailable: {404, ExitNotFound, true}, UnknownLease: missing, LeaseExpired: denied, LeaseReleased: denied, LeaseExhausted: denied, LeaseNotYours: denied,
	IdempotencyMismatch: conflict, DeliveryRefused: denied, CommandNotPinned: denied, CommandMismatch: denied, BinaryChanged: denied, BinaryMissing: {404, ExitRunNotFound, false},
	WorkdirRefused: denied, IsolationMissing: denied, OutputWithheld: denied, UnknownRun: missing, RunNotYours: denied, RunLost: {410, ExitFailure, false},
	HostNotAllowed: denied, RequestNotAllowed: denied, HTTPSRequired: denied, StandInMisplaced: usage, ReplyUnreadable: {502, ExitFailure, false},
	HostKeyUnknown: denied, HostKeyMismatch: denied, ConnectionFailed: away, RemoteAuthFailed: denied,
	ProviderUnavailable: away, ProviderLogin: denied, ProviderIPDenied: denied, ProviderThrottled: away, ProviderReply: away,
	SyncNotConfigured: {409, ExitUsage, false}, SyncIncomplete: {500, ExitPartial, true}, SyncShrunk: {409, ExitConflict, true},
	ImpossibleCapacity: {409, ExitConflict, false}, ServerNotReady: {409, ExitConflict, true}, StaleMetrics: {409, ExitConflict, true},
	ReservedMemory: {409, ExitConflict, true}, FreeMemory: {409, ExitConflict, true}, NoFreePort: {409, ExitConflict, true},
	ReservedDisk: {409, ExitConflict, true}, FreeDisk: {409, ExitConflict, true}, ReservedCPU: {409, ExitConflict, true}, PortNotAllowed: {409, ExitConflict, false},
	AuditBroken: corrupt, AuditUnavailable: away,
}

// Of gives the meaning of c; an unknown code means Internal.
func (c Code) Of() Meaning {
	if m, ok := registry[c]; ok {
		return m
	}
	return registry[Internal]
}

// Codes lists every registered code, unsorted.
func Codes() []Code {
	all := make([]Code, 0, len(registry))
	for c := range registry {
		all = append(all, c)
	}
	return all
}
