//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package sqlite

import (
	"errors"
	"os"
)

var errWouldBlock = errors.New("another process holds the lock")

// lockExclusively refuses: without a lock two operators could take turns at
// fencing each other.
func lockExclusively(*os.File) error {
	return errors.New("this system has no file locks that a journal can be claimed with")
}
