package postgres

import (
	"errors"
	"syscall"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of tcp(7), which package syscall does not name.
const tcpUserTimeout = 18

// boundSilence closes a connection whose peer does not acknowledge what was sent
// for deadAfter: keep-alives bound only the silence of a connection that is idle.
func boundSilence(_, _ string, conn syscall.RawConn) error {
	var failure error
	err := conn.Control(func(fd uintptr) {
		failure = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(deadAfter.Milliseconds()))
	})
	if errors.Is(failure, syscall.ENOPROTOOPT) || errors.Is(failure, syscall.EOPNOTSUPP) {
		failure = nil // a Unix socket
	}
	return errors.Join(err, failure)
}
