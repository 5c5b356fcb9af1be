package process

import "syscall"

func attributes(attached bool) *syscall.SysProcAttr {
	if attached {
		return nil
	}
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

func closeOnExec() {} // handles are inherited by list only

func noCore() {}
