package seccomp

// call is a system call with its numbers; -1 where the architecture has none of that name. They are checked against golang.org/x/sys by a test.
type call struct {
	name         string
	amd64, arm64 int16
}

// group is calls that share a verdict. The comment above it is the reason.
type group struct {
	do    verdict
	calls []call
}

// tables hold each call that this package knows, once.
var tables = [...][]group{fileCalls, memoryCalls, processCalls, socketCalls, ruledCalls, refusedCalls}

// maxNumber is the highest in the tables; the tests hold it to that.
const maxNumber = 471

// verdict is what happens to a call.
type verdict uint8

const (
	nosys verdict = iota // as on a kernel without it; what is in no table too
	allow
	perm
	bySocket
	byPair
	bySendFlags3
	bySendFlags4
	bySockopt
	byConnect
	byListen
	byClone
	byUnshare
	byIoctl
	byPrctl
	byPersonality
	bySeccomp
	byPrlimit
	byMode1 // the second argument is a mode
	byMode2
	byOpen1 // the second argument is open's flags, the third the mode
	byOpen2
)
