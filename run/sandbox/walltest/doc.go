// Package walltest plays the hostile command in tests of the walls: the test binary starts itself again, as root and as an ordinary user, and
// there does what a command would do.
//
// Promise: what holds for one user and not for the other is seen, as every such test runs as both where it may. A test that is not root's
// runs as its own user, who is an ordinary one.
package walltest
