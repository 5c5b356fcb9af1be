package seccomp

// refusedCalls fail, whatever their arguments are: perm with EPERM; nosys as on a kernel that has no such call, where programs then take another way.
var refusedCalls = []group{
	// Another process's memory, registers and descriptors (attacks 17, 18, 19).
	{perm, []call{
		{"ptrace", 101, 117}, {"process_vm_readv", 310, 270}, {"process_vm_writev", 311, 271}, {"kcmp", 312, 272}, {"pidfd_getfd", 438, 438},
		{"process_madvise", 440, 440}, {"process_mrelease", 448, 448},
	}},
	// Its arguments lie in memory, where a filter cannot see them; programs fall back to clone (attack 31).
	{nosys, []call{
		{"clone3", 435, 435},
	}},
	// Other namespaces and roots (attack 31).
	{perm, []call{
		{"setns", 308, 268}, {"chroot", 161, 51}, {"pivot_root", 155, 41},
	}},
	// Mounts, old and new.
	{perm, []call{
		{"mount", 165, 40}, {"umount2", 166, 39}, {"open_tree", 428, 428}, {"move_mount", 429, 429}, {"fsopen", 430, 430}, {"fsconfig", 431, 431},
		{"fsmount", 432, 432}, {"fspick", 433, 433}, {"mount_setattr", 442, 442}, {"open_tree_attr", 467, 467},
	}},
	// Mounts and namespaces of others by number.
	{nosys, []call{
		{"statmount", 457, 457}, {"listmount", 458, 458}, {"listns", 470, 470},
	}},
	// Requests that the kernel takes from shared memory pass no filter (attack 13).
	{perm, []call{
		{"io_uring_setup", 425, 425}, {"io_uring_enter", 426, 426}, {"io_uring_register", 427, 427},
	}},
	// Key rings outlive the run and are shared by a user's processes (attack 29).
	{perm, []call{
		{"add_key", 248, 217}, {"request_key", 249, 218}, {"keyctl", 250, 219},
	}},
	// Code in the kernel, and what exploits of it are built of (attack 52 is not stopped, only made harder).
	{perm, []call{
		{"bpf", 321, 280}, {"perf_event_open", 298, 241}, {"userfaultfd", 323, 282},
	}},
	// … and pages given to a pipe that stay writable; Windows' segments; the security modules' newest door.
	{nosys, []call{
		{"vmsplice", 278, 75}, {"modify_ldt", 154, -1}, {"lsm_get_self_attr", 459, 459}, {"lsm_set_self_attr", 460, 460},
		{"lsm_list_modules", 461, 461},
	}},
	// A file by its number instead of its path: past mounts and Landlock.
	{perm, []call{
		{"name_to_handle_at", 303, 264}, {"open_by_handle_at", 304, 265},
	}},
	// What others do with files, and the power to hold them up.
	{perm, []call{
		{"fanotify_init", 300, 262}, {"fanotify_mark", 301, 263},
	}},
	// The machine: modules, kernels, swap, power, quotas, accounting, clocks, names, ports, the kernel's log.
	{perm, []call{
		{"init_module", 175, 105}, {"finit_module", 313, 273}, {"delete_module", 176, 106}, {"kexec_load", 246, 104},
		{"kexec_file_load", 320, 294}, {"swapon", 167, 224}, {"swapoff", 168, 225}, {"reboot", 169, 142}, {"quotactl", 179, 60},
		{"quotactl_fd", 443, 443}, {"acct", 163, 89}, {"vhangup", 153, 58}, {"syslog", 103, 116}, {"settimeofday", 164, 170},
		{"clock_settime", 227, 112}, {"adjtimex", 159, 171}, {"clock_adjtime", 305, 266}, {"sethostname", 170, 161}, {"setdomainname", 171, 162},
		{"iopl", 172, -1}, {"ioperm", 173, -1},
	}},
	// Memory of others moved between nodes; libraries take ENOSYS for a machine with one node.
	{nosys, []call{
		{"mbind", 237, 235}, {"set_mempolicy", 238, 237}, {"get_mempolicy", 239, 236}, {"migrate_pages", 256, 238}, {"move_pages", 279, 239},
		{"set_mempolicy_home_node", 450, 450},
	}},
	// Memory that nobody else can look into, kept from sleeping.
	{nosys, []call{
		{"memfd_secret", 447, 447},
	}},
	// Gone from the kernel, or only kept for programs older than this one.
	{nosys, []call{
		{"uselib", 134, -1}, {"ustat", 136, -1}, {"sysfs", 139, -1}, {"_sysctl", 156, -1}, {"create_module", 174, -1},
		{"get_kernel_syms", 177, -1}, {"query_module", 178, -1}, {"nfsservctl", 180, 42}, {"getpmsg", 181, -1}, {"putpmsg", 182, -1},
		{"afs_syscall", 183, -1}, {"tuxcall", 184, -1}, {"security", 185, -1}, {"set_thread_area", 205, -1}, {"get_thread_area", 211, -1},
		{"lookup_dcookie", 212, 18}, {"epoll_ctl_old", 214, -1}, {"epoll_wait_old", 215, -1}, {"vserver", 236, -1},
	}},
}
