package seccomp

// fileCalls, memoryCalls, processCalls and socketCalls pass whatever their arguments are.
var fileCalls = []group{
	// Files, where Landlock, mounts and ordinary permissions decide.
	{allow, []call{
		{"read", 0, 63}, {"write", 1, 64}, {"close", 3, 57}, {"stat", 4, -1}, {"fstat", 5, 80}, {"lstat", 6, -1},
		{"poll", 7, -1}, {"lseek", 8, 62}, {"pread64", 17, 67}, {"pwrite64", 18, 68}, {"readv", 19, 65}, {"writev", 20, 66}, {"access", 21, -1},
		{"pipe", 22, -1}, {"select", 23, -1}, {"dup", 32, 23}, {"dup2", 33, -1}, {"sendfile", 40, 71}, {"fcntl", 72, 25}, {"flock", 73, 32},
		{"fsync", 74, 82}, {"fdatasync", 75, 83}, {"truncate", 76, 45}, {"ftruncate", 77, 46}, {"getdents", 78, -1}, {"getcwd", 79, 17},
		{"chdir", 80, 49}, {"fchdir", 81, 50}, {"rename", 82, -1}, {"mkdir", 83, -1}, {"rmdir", 84, -1}, {"link", 86, -1},
		{"unlink", 87, -1}, {"symlink", 88, -1}, {"readlink", 89, -1}, {"chown", 92, -1},
		{"fchown", 93, 55}, {"lchown", 94, -1}, {"umask", 95, 166}, {"utime", 132, -1}, {"statfs", 137, 43},
		{"fstatfs", 138, 44}, {"sync", 162, 81}, {"readahead", 187, 213}, {"setxattr", 188, 5}, {"lsetxattr", 189, 6}, {"fsetxattr", 190, 7},
		{"getxattr", 191, 8}, {"lgetxattr", 192, 9}, {"fgetxattr", 193, 10}, {"listxattr", 194, 11}, {"llistxattr", 195, 12},
		{"flistxattr", 196, 13}, {"removexattr", 197, 14}, {"lremovexattr", 198, 15}, {"fremovexattr", 199, 16}, {"epoll_create", 213, -1},
		{"epoll_wait", 232, -1}, {"epoll_ctl", 233, 21}, {"getdents64", 217, 61}, {"fadvise64", 221, 223}, {"utimes", 235, -1},
		{"inotify_init", 253, -1}, {"inotify_add_watch", 254, 27}, {"inotify_rm_watch", 255, 28}, {"mkdirat", 258, 34},
		{"fchownat", 260, 54}, {"futimesat", 261, -1}, {"newfstatat", 262, 79}, {"unlinkat", 263, 35},
		{"renameat", 264, 38}, {"linkat", 265, 37}, {"symlinkat", 266, 36}, {"readlinkat", 267, 78},
		{"faccessat", 269, 48}, {"pselect6", 270, 72}, {"ppoll", 271, 73}, {"splice", 275, 76}, {"tee", 276, 77}, {"sync_file_range", 277, 84},
		{"utimensat", 280, 88}, {"epoll_pwait", 281, 22}, {"signalfd", 282, -1}, {"timerfd_create", 283, 85}, {"eventfd", 284, -1},
		{"fallocate", 285, 47}, {"timerfd_settime", 286, 86}, {"timerfd_gettime", 287, 87}, {"signalfd4", 289, 74}, {"eventfd2", 290, 19},
		{"epoll_create1", 291, 20}, {"dup3", 292, 24}, {"pipe2", 293, 59}, {"inotify_init1", 294, 26}, {"preadv", 295, 69}, {"pwritev", 296, 70},
		{"syncfs", 306, 267}, {"renameat2", 316, 276}, {"memfd_create", 319, 279}, {"copy_file_range", 326, 285}, {"preadv2", 327, 286},
		{"pwritev2", 328, 287}, {"statx", 332, 291}, {"close_range", 436, 436}, {"faccessat2", 439, 439},
		{"epoll_pwait2", 441, 441}, {"cachestat", 451, 451}, {"setxattrat", 463, 463}, {"getxattrat", 464, 464},
		{"listxattrat", 465, 465}, {"removexattrat", 466, 466}, {"file_getattr", 468, 468}, {"file_setattr", 469, 469}, {"io_setup", 206, 0},
		{"io_destroy", 207, 1}, {"io_getevents", 208, 4}, {"io_submit", 209, 2}, {"io_cancel", 210, 3}, {"io_pgetevents", 333, 292},
	}},
}

var memoryCalls = []group{
	// Its own memory, under its limits.
	{allow, []call{
		{"mmap", 9, 222}, {"mprotect", 10, 226}, {"munmap", 11, 215}, {"brk", 12, 214}, {"mremap", 25, 216}, {"msync", 26, 227},
		{"mincore", 27, 232}, {"madvise", 28, 233}, {"mlock", 149, 228}, {"munlock", 150, 229}, {"mlockall", 151, 230}, {"munlockall", 152, 231},
		{"remap_file_pages", 216, 234}, {"mlock2", 325, 284}, {"pkey_mprotect", 329, 288}, {"pkey_alloc", 330, 289}, {"pkey_free", 331, 290},
		{"membarrier", 324, 283}, {"map_shadow_stack", 453, 453}, {"mseal", 462, 462},
	}},
}

var processCalls = []group{
	// Its own processes, threads, signals, clocks and limits; the kernel asks for rights where they reach further.
	{allow, []call{
		{"rt_sigaction", 13, 134}, {"rt_sigprocmask", 14, 135}, {"rt_sigreturn", 15, 139}, {"sched_yield", 24, 124}, {"pause", 34, -1},
		{"nanosleep", 35, 101}, {"getitimer", 36, 102}, {"alarm", 37, -1}, {"setitimer", 38, 103}, {"getpid", 39, 172}, {"fork", 57, -1},
		{"vfork", 58, -1}, {"execve", 59, 221}, {"exit", 60, 93}, {"wait4", 61, 260}, {"kill", 62, 129}, {"uname", 63, 160},
		{"gettimeofday", 96, 169}, {"getrlimit", 97, 163}, {"getrusage", 98, 165}, {"sysinfo", 99, 179}, {"times", 100, 153},
		{"getuid", 102, 174}, {"getgid", 104, 176}, {"setuid", 105, 146}, {"setgid", 106, 144}, {"geteuid", 107, 175}, {"getegid", 108, 177},
		{"setpgid", 109, 154}, {"getppid", 110, 173}, {"getpgrp", 111, -1}, {"setsid", 112, 157}, {"setreuid", 113, 145}, {"setregid", 114, 143},
		{"getgroups", 115, 158}, {"setgroups", 116, 159}, {"setresuid", 117, 147}, {"getresuid", 118, 148}, {"setresgid", 119, 149},
		{"getresgid", 120, 150}, {"getpgid", 121, 155}, {"setfsuid", 122, 151}, {"setfsgid", 123, 152}, {"getsid", 124, 156}, {"capget", 125, 90},
		{"capset", 126, 91}, {"rt_sigpending", 127, 136}, {"rt_sigtimedwait", 128, 137}, {"rt_sigqueueinfo", 129, 138},
		{"rt_sigsuspend", 130, 133}, {"sigaltstack", 131, 132}, {"getpriority", 140, 141}, {"setpriority", 141, 140},
		{"sched_setparam", 142, 118}, {"sched_getparam", 143, 121}, {"sched_setscheduler", 144, 119}, {"sched_getscheduler", 145, 120},
		{"sched_get_priority_max", 146, 125}, {"sched_get_priority_min", 147, 126}, {"sched_rr_get_interval", 148, 127}, {"arch_prctl", 158, -1},
		{"setrlimit", 160, 164}, {"gettid", 186, 178}, {"tkill", 200, 130}, {"time", 201, -1}, {"futex", 202, 98},
		{"sched_setaffinity", 203, 122}, {"sched_getaffinity", 204, 123}, {"set_tid_address", 218, 96}, {"restart_syscall", 219, 128},
		{"timer_create", 222, 107}, {"timer_settime", 223, 110}, {"timer_gettime", 224, 108}, {"timer_getoverrun", 225, 109},
		{"timer_delete", 226, 111}, {"clock_gettime", 228, 113}, {"clock_getres", 229, 114}, {"clock_nanosleep", 230, 115},
		{"exit_group", 231, 94}, {"tgkill", 234, 131}, {"waitid", 247, 95}, {"ioprio_set", 251, 30}, {"ioprio_get", 252, 31},
		{"set_robust_list", 273, 99}, {"get_robust_list", 274, 100}, {"rt_tgsigqueueinfo", 297, 240}, {"getcpu", 309, 168},
		{"sched_setattr", 314, 274}, {"sched_getattr", 315, 275}, {"getrandom", 318, 278}, {"execveat", 322, 281}, {"rseq", 334, 293},
		{"rseq_slice_yield", 471, 471}, {"pidfd_send_signal", 424, 424}, {"pidfd_open", 434, 434}, {"futex_waitv", 449, 449},
		{"futex_wake", 454, 454}, {"futex_wait", 455, 455}, {"futex_requeue", 456, 456},
	}},
	// Walls that a program builds around itself.
	{allow, []call{
		{"landlock_create_ruleset", 444, 444}, {"landlock_add_rule", 445, 445}, {"landlock_restrict_self", 446, 446},
	}},
	// The kernel's own return path of a probed function: refusing it crashes a program that somebody traces from outside.
	{allow, []call{
		{"uretprobe", 335, -1}, {"uprobe", 336, -1},
	}},
}

var socketCalls = []group{
	// Sockets that the rules of socket, socketpair and connect let through.
	{allow, []call{
		{"accept", 43, 202}, {"recvfrom", 45, 207}, {"recvmsg", 47, 212}, {"shutdown", 48, 210}, {"bind", 49, 200}, {"getsockname", 51, 204},
		{"getpeername", 52, 205}, {"getsockopt", 55, 209}, {"accept4", 288, 242}, {"recvmmsg", 299, 243},
	}},
	// System V and POSIX objects: open at level basic (attack 30, "no"), closed by the IPC namespace above it.
	{allow, []call{
		{"shmget", 29, 194}, {"shmat", 30, 196}, {"shmctl", 31, 195}, {"shmdt", 67, 197}, {"semget", 64, 190}, {"semop", 65, 193},
		{"semctl", 66, 191}, {"semtimedop", 220, 192}, {"msgget", 68, 186}, {"msgsnd", 69, 189}, {"msgrcv", 70, 188}, {"msgctl", 71, 187},
		{"mq_open", 240, 180}, {"mq_unlink", 241, 181}, {"mq_timedsend", 242, 182}, {"mq_timedreceive", 243, 183}, {"mq_notify", 244, 184},
		{"mq_getsetattr", 245, 185},
	}},
}
