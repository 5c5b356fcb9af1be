package profile

// head is the part that is the same for every run.
const head = `(version 1)
(deny default)
; what some versions leave out of the default
(deny file-map-executable process-info* nvram* iokit-get-properties)

; how a program starts
(import "dyld-support.sb")
(allow process-fork)
(allow process-info* signal (target same-sandbox))
(allow file-read-metadata (literal "/etc") (literal "/tmp") (literal "/var") (literal "/private") (literal "/private/etc") (literal "/private/var"))
(allow file-read* (literal "/"))
(allow file-read* file-map-executable process-exec
	(subpath "/System")
	(subpath "/Library/Apple")
	(subpath "/Library/Developer/CommandLineTools")
	(subpath "/bin")
	(subpath "/sbin")
	(subpath "/usr/bin")
	(subpath "/usr/lib")
	(subpath "/usr/libexec")
	(subpath "/usr/sbin")
)
(allow file-read*
	(subpath "/usr/share")
	(subpath "/private/etc/ssl")
	(subpath "/private/var/db/timezone")
	(literal "/private/etc/hosts")
	(literal "/private/etc/localtime")
	(literal "/private/etc/passwd")
	(literal "/private/etc/group")
	(literal "/private/etc/protocols")
	(literal "/private/etc/services")
	(literal "/private/etc/shells")
	(literal "/private/var/select/sh")
)

; devices without memory
(allow file-read* file-write-data file-ioctl
	(literal "/dev/null")
	(literal "/dev/zero")
)
(allow file-read*
	(literal "/dev/random")
	(literal "/dev/urandom")
	(literal "/dev/fd")
	(subpath "/dev/fd")
)

; who the user is: ssh and git ask
(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))

; what the machine is; never kern.procargs2, which shows the environment of others
(allow sysctl-read
	(sysctl-name "hw.activecpu")
	(sysctl-name "hw.byteorder")
	(sysctl-name "hw.cachelinesize")
	(sysctl-name "hw.cachelinesize_compat")
	(sysctl-name "hw.cpufamily")
	(sysctl-name "hw.cputype")
	(sysctl-name "hw.logicalcpu")
	(sysctl-name "hw.logicalcpu_max")
	(sysctl-name "hw.machine")
	(sysctl-name "hw.memsize")
	(sysctl-name "hw.ncpu")
	(sysctl-name "hw.nperflevels")
	(sysctl-name-prefix "hw.optional.")
	(sysctl-name-prefix "hw.perflevel")
	(sysctl-name "hw.pagesize")
	(sysctl-name "hw.pagesize_compat")
	(sysctl-name "hw.physicalcpu")
	(sysctl-name "hw.physicalcpu_max")
	(sysctl-name "kern.argmax")
	(sysctl-name "kern.maxfilesperproc")
	(sysctl-name "kern.ngroups")
	(sysctl-name "kern.osproductversion")
	(sysctl-name "kern.osrelease")
	(sysctl-name "kern.ostype")
	(sysctl-name "kern.osversion")
	(sysctl-name "kern.secure_kernel")
	(sysctl-name "kern.usrstack64")
	(sysctl-name "kern.version")
	(sysctl-name "machdep.cpu.brand_string")
	(sysctl-name "sysctl.proc_translated")
)

; the run's own`
