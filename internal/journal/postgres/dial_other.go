//go:build !linux

package postgres

import "syscall"

// boundSilence does nothing where there is no TCP_USER_TIMEOUT: the writers'
// own timeouts find a connection that has died.
func boundSilence(_, _ string, _ syscall.RawConn) error { return nil }
