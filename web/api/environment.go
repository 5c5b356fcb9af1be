package api

// ResolveEnvironment asks what a project's environment is. Give contracts or names.
type ResolveEnvironment struct {
	Contracts   []ContractFile    `json:"contracts,omitempty"`
	Names       []string          `json:"names,omitempty"`
	Environment string            `json:"environment,omitempty"` // of the contracts; "": production
	Values      map[string]string `json:"values,omitempty"`      // literals that hold in the place of the contract's; nothing secret
	DryRun      bool              `json:"dry_run,omitempty"`     // tell only: nothing is generated and nothing is kept
}

// ContractFile is one env.contract.yaml.
type ContractFile struct {
	Path string `json:"path,omitempty"`
	Text string `json:"text"`
}

// Environment is what a resolution came to. It holds no secret.
type Environment struct {
	Project   string        `json:"project"`
	Outcome   string        `json:"outcome"`            // resolved, waiting_for_user_secret, allocation_missing, environment_resolution_failed
	Handle    string        `json:"handle,omitempty"`   // for runs; "" where nothing was kept
	Approval  string        `json:"approval,omitempty"` // first: a person looks at it before agents run with it; always: approves each run
	Allow     string        `json:"allow,omitempty"`    // what a person types, having looked at it, where the approval is first
	Variables []Variable    `json:"variables"`          // by name
	Missing   []MissingName `json:"missing"`            // what a person has to give
	Generated []string      `json:"generated"`          // what was made and kept just now
}

// Variable is one of them.
type Variable struct {
	Name        string `json:"name"`
	Class       string `json:"class"`            // infra, computed, user, literal
	Source      string `json:"source,omitempty"` // the contract's
	State       string `json:"state"`            // stored, generate, computed, literal, supplied, missing, absent, failed
	Rule        string `json:"rule"`             // what decided
	Why         string `json:"why"`
	Problem     string `json:"problem,omitempty"` // of a failed one
	Cause       string `json:"cause,omitempty"`   // the name that the problem speaks of
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required"`
	Sensitive   bool   `json:"sensitive"`
	Hidden      bool   `json:"hidden,omitempty"` // not of the environment: others are made of it
	Value       string `json:"value,omitempty"`  // of one that holds nothing secret
	MadeOf      string `json:"made_of,omitempty"`
}

// MissingName is a secret that a person has to give.
type MissingName struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Command     string `json:"command"` // what they type
	Request     string `json:"request"` // the route by which a program of theirs gives it, with a token that has the scope write
}
