package policy

// Validate checks a policy.
func Validate(p Policy, standIn, all []Delivery) error { return nil }
