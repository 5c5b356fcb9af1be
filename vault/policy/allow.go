package policy

import "slices"

// deliveries is every delivery, in the order in which they are preferred: what hands over nothing first.
var deliveries = []Delivery{None, Broker, SSH, File, Env}

// StandIn tells whether d never hands the value to a command.
func (d Delivery) StandIn() bool { return d == Broker || d == SSH || d == None }

// AllowsAgent tells whether the policy lets the agent of that name in; its grants must cover the resource as well.
func (p Policy) AllowsAgent(name string) bool {
	return len(p.Agents) == 0 || slices.Contains(p.Agents, name)
}

// AllowsDelivery tells whether d may be used; standIn is the kind's own default. A policy that names no deliveries allows those, and, where
// a person pinned a command, handing the value to it: that is what the pin was for. Whether this command is pinned is MatchAny's to say.
func (p Policy) AllowsDelivery(d Delivery, standIn []Delivery) bool {
	if len(p.Deliveries) > 0 {
		return slices.Contains(p.Deliveries, d)
	}
	if d == Env || d == File {
		return len(p.Pins) > 0
	}
	return d.StandIn() && slices.Contains(standIn, d)
}

// AsksApproval tells whether an agent's run waits for a person.
func (p Policy) AsksApproval() bool { return p.Approval != "" }
