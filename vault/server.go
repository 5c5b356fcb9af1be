package vault

import "time"

// Server is a provider's machine as sync last saw it. Its addresses are hidden: sealed, with a keyed fingerprint to compare by.
type Server struct {
	Format     int               `json:"format"` // 1
	ID         string            `json:"id"`     // srv_…
	Provider   string            `json:"provider"`
	ProviderID string            `json:"provider_id"` // never shown to an agent
	ResourceID string            `json:"resource_id,omitempty"`
	Sealed     map[string]Sealed `json:"secrets,omitempty"` // ip, domain
	Prints     map[string]string `json:"prints,omitempty"`  // field → keyed fingerprint
	Status     string            `json:"status"`
	StatusWas  string            `json:"status_was,omitempty"` // before missing or suspended
	IsManaged  bool              `json:"is_managed"`
	Intent     string            `json:"intent"` // auto, yes, no: what the operator said
	Ghost      bool              `json:"ghost,omitempty"`
	CPU        int               `json:"capacity_cpu"`
	RAMMB      int               `json:"capacity_ram_mb"`
	DiskMB     int               `json:"capacity_disk_mb"`
	UsedRAMMB  int               `json:"used_ram_mb"`
	UsedDiskMB int               `json:"used_disk_mb"`
	OS         string            `json:"os_template,omitempty"`
	Missing    int               `json:"missing_count,omitempty"`
	ObservedAt time.Time         `json:"observed_at,omitzero"` // of the numbers
	LastSeen   time.Time         `json:"last_seen,omitzero"`   // in the provider's list
	HealthAt   time.Time         `json:"last_health_check,omitzero"`
	CreatedAt  time.Time         `json:"created_at"`
	Labels     map[string]string `json:"labels,omitempty"`
	Version    uint64            `json:"version"`
}

// Project groups resources; its config and its secrets are a record of their own (ProjectConfig).
type Project struct {
	Format    int       `json:"format"` // 1
	ID        string    `json:"id"`     // prj_…
	Slug      string    `json:"slug"`   // ^[a-z][a-z0-9-]{0,39}$
	Title     string    `json:"title,omitempty"`
	Former    string    `json:"former_id,omitempty"` // what the earlier system calls it, where it was adopted: a UUID
	CreatedAt time.Time `json:"created_at"`
}
