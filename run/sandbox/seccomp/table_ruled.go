package seccomp

// ruledCalls are decided by their arguments: see rules.go.
var ruledCalls = []group{
	// Families, types and protocols outside a short list (attacks 9, 10, 12, 16).
	{bySocket, []call{
		{"socket", 41, 198},
	}},
	// Pairs of unix sockets only; a pair of datagram ones can be pointed at a pathname later (attack 16).
	{byPair, []call{
		{"socketpair", 53, 199},
	}},
	// MSG_FASTOPEN connects without connect(2) (attack 11); the fourth argument is the flags.
	{bySendFlags4, []call{
		{"sendto", 44, 206}, {"sendmmsg", 307, 269},
	}},
	// … here it is the third.
	{bySendFlags3, []call{
		{"sendmsg", 46, 211},
	}},
	// What makes another protocol of a TCP socket, or defers its connect (attacks 10, 11), or sends its packets to others (attack 8).
	{bySockopt, []call{
		{"setsockopt", 54, 208},
	}},
	// Where there is a supervisor, it answers (attack 8).
	{byConnect, []call{
		{"connect", 42, 203},
	}},
	// Without a network namespace a listening socket is a way in, and so a way out: it needs no bind, so Landlock does not see it (attack 8).
	{byListen, []call{
		{"listen", 50, 201},
	}},
	// No new namespaces (attack 31).
	{byClone, []call{
		{"clone", 56, 220},
	}},
	// … here neither; a thread may leave its shared folder, descriptors and undo list.
	{byUnshare, []call{
		{"unshare", 272, 97},
	}},
	// Keys pushed into a terminal, its line discipline, the console (attack 27).
	{byIoctl, []call{
		{"ioctl", 16, 29},
	}},
	// A process that gives itself another program's file or arguments.
	{byPrctl, []call{
		{"prctl", 157, 167},
	}},
	// Personalities that make every page executable or the address space predictable.
	{byPersonality, []call{
		{"personality", 135, 92},
	}},
	// A supervisor of its own would be asked before ours.
	{bySeccomp, []call{
		{"seccomp", 317, 277},
	}},
	// Limits of other processes: one CPU second would end the broker (attack 28); a process reads and sets its own as 0.
	{byPrlimit, []call{
		{"prlimit64", 302, 261},
	}},
	// No set-user-id and set-group-id bits: a run's mounts ignore them, but in a folder of the operator's they would stay, and count outside (attack 32).
	{byMode1, []call{
		{"chmod", 90, -1}, {"fchmod", 91, 52}, {"creat", 85, -1}, {"mknod", 133, -1},
	}},
	{byMode2, []call{
		{"fchmodat", 268, 53}, {"fchmodat2", 452, 452}, {"mknodat", 259, 33},
	}},
	// … here only where a file is made: else there is no mode.
	{byOpen1, []call{
		{"open", 2, -1},
	}},
	{byOpen2, []call{
		{"openat", 257, 56},
	}},
	// The mode lies in memory, where no filter sees it; who calls this knows kernels without it.
	{nosys, []call{
		{"openat2", 437, 437},
	}},
}
