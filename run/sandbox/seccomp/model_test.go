package seccomp

import (
	"math/rand/v2"
	"slices"
)

// model is the rules as one would say them, call by call and without any program; written apart from the tables' own functions.
func model(archName string, o Options, d data) uint32 {
	audit := map[string]uint32{"amd64": 0xc000003e, "arm64": 0xc00000b7}[archName]
	if d.arch != audit || archName == "amd64" && d.number >= 0x40000000 {
		return 0x80000000
	}
	refuse := func(errno uint32) uint32 { return 0x00050000 + errno }
	const ok = 0x7fff0000
	arg := func(i int) uint32 { return uint32(d.args[i]) } // ints: the high half is nothing to the kernel
	found := byNumber[archName][d.number]
	do, name := found.do, found.name
	switch name {
	case "socket":
		return modelSocket(o, arg(0), arg(1)&0xf, arg(2))
	case "socketpair":
		kind := arg(1) & 0xf
		switch {
		case arg(2) != 0 && arg(2) != 1:
			return refuse(93)
		case arg(0) != 1:
			return refuse(97)
		case o.DenyUnix && kind != 1 && kind != 5:
			return refuse(94)
		}
		return ok
	case "sendto", "sendmmsg":
		if arg(3)&0x20000000 != 0 {
			return refuse(95)
		}
		return ok
	case "sendmsg":
		if arg(2)&0x20000000 != 0 {
			return refuse(95)
		}
		return ok
	case "setsockopt":
		good := true
		switch level, option := arg(1), arg(2); {
		case level == 6:
			good = option != 19 && option != 30 && option != 31 && option != 34
		case !o.DenyUDP, level == 270:
		case level == 1:
			good = option != 25 && option != 36 && option != 62
		case level == 0:
			good = slices.Contains([]uint32{1, 2, 8, 10, 11, 12, 13, 24}, option)
		case level == 41:
			good = slices.Contains([]uint32{16, 23, 24, 25, 26, 49, 66, 67, 72}, option)
		default:
			good = false
		}
		if !good {
			return refuse(92)
		}
		return ok
	case "connect":
		if o.Notify {
			return 0x7fc00000
		}
		return ok
	case "listen":
		if o.Notify {
			return refuse(13)
		}
		return ok
	case "clone":
		if arg(0)&0x7e020000 != 0 {
			return refuse(1)
		}
		return ok
	case "unshare":
		if arg(0)&^0x40600 != 0 {
			return refuse(1)
		}
		return ok
	case "ioctl":
		if c := arg(1); c == 0x5412 || c == 0x541c || c == 0x541d || c == 0x5423 {
			return refuse(1)
		}
		return ok
	case "prctl":
		if arg(0) == 35 {
			return refuse(1)
		}
		return ok
	case "personality":
		switch arg(0) {
		case 0, 8, 0x20000, 0x20008, 0xffffffff:
			return ok
		}
		return refuse(1)
	case "seccomp":
		if arg(0) == 1 && arg(1)&8 != 0 {
			return refuse(16)
		}
		return ok
	case "chmod", "fchmod", "creat", "mknod":
		if arg(1)&0o6000 != 0 {
			return refuse(1)
		}
		return ok
	case "fchmodat", "fchmodat2", "mknodat":
		if arg(2)&0o6000 != 0 {
			return refuse(1)
		}
		return ok
	case "open":
		if arg(1)&0x400040 != 0 && arg(2)&0o6000 != 0 {
			return refuse(1)
		}
		return ok
	case "openat":
		if arg(2)&0x400040 != 0 && arg(3)&0o6000 != 0 {
			return refuse(1)
		}
		return ok
	case "prlimit64":
		if arg(0) != 0 && d.args[2] != 0 {
			return refuse(1)
		}
		return ok
	}
	return map[verdict]uint32{allow: ok, perm: refuse(1), nosys: refuse(38)}[do]
}

func modelSocket(o Options, family, kind, proto uint32) uint32 {
	refuse := func(errno uint32) uint32 { return 0x00050000 + errno }
	const ok = 0x7fff0000
	switch family {
	case 1:
		if o.DenyUnix {
			return refuse(97)
		}
		if proto > 1 {
			return refuse(93)
		}
		return ok
	case 16:
		if proto != 0 {
			return refuse(93)
		}
		return ok
	case 2, 10:
		switch {
		case kind == 2 && o.DenyUDP:
			return refuse(13)
		case kind == 1 && (proto == 0 || proto == 6), kind == 2 && (proto == 0 || proto == 17):
			return ok
		case kind == 1 || kind == 2:
			return refuse(93)
		}
		return refuse(94)
	}
	return refuse(97)
}

type judged struct {
	name string
	do   verdict
}

var byNumber = func() map[string]map[uint32]judged {
	m := map[string]map[uint32]judged{"amd64": {}, "arm64": {}}
	for _, groups := range tables {
		for _, g := range groups {
			for _, c := range g.calls {
				if c.amd64 >= 0 {
					m["amd64"][uint32(c.amd64)] = judged{c.name, g.do}
				}
				if c.arm64 >= 0 {
					m["arm64"][uint32(c.arm64)] = judged{c.name, g.do}
				}
			}
		}
	}
	return m
}()

// interesting are values near what the rules compare with; the rest is any.
var interesting = []uint64{0, 1, 2, 3, 4, 5, 6, 8, 10, 11, 23, 24, 25, 26, 36, 41, 50, 57, 62, 67, 72, 270, 16, 17, 19, 29, 30, 31, 33, 34, 35,
	40, 58, 132, 136, 255, 256, 262, 0x200, 0x400, 0x600,
	0x40, 0x400000, 0x410000, 0o4755, 0o2755, 0o1777, 0o755,
	0x40600, 0x801, 0x80801, 0x80002,
	0x5412, 0x541c, 0x541d, 0x5423, 0x20000, 0x20008, 0x40000, 0x10000000, 0x20000000, 0x20004000, 0x40000000, 0x80000000, 0xffffffff}

func randomCall(rng *rand.Rand, m machine) data {
	d := data{arch: m.arch.audit, number: uint32(rng.IntN(maxNumber + 40)), ip: rng.Uint64()}
	switch ruled := []string{"socket", "socketpair", "sendto", "sendmsg", "sendmmsg", "setsockopt", "clone", "unshare", "ioctl", "prctl",
		"personality", "seccomp", "prlimit64",
		"connect", "listen", "fchmod", "fchmodat", "fchmodat2", "mknodat", "openat"}; rng.IntN(10) {
	case 0:
		d.arch = []uint32{0xc000003e, 0xc00000b7, 0x40000003, 0x40000028, 0}[rng.IntN(5)]
	case 1:
		d.number |= 0x40000000
	case 2:
		d.number = rng.Uint32()
	case 3, 4, 5, 6:
		d.number = m.number(ruled[rng.IntN(len(ruled))])
	}
	for i := range d.args {
		d.args[i] = interesting[rng.IntN(len(interesting))]
		switch rng.IntN(6) {
		case 0:
			d.args[i] = rng.Uint64()
		case 1:
			d.args[i] |= uint64(rng.Uint32()) << 32 // the high half only
		}
	}
	return d
}
