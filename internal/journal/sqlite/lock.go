package sqlite

import (
	"errors"
	"fmt"
	"os"
)

// A journal's lock is an advisory lock on a file beside it, which the operating
// system takes back when the process ends, however it ends. The epoch in the
// journal would keep two writers apart without it; the lock says so earlier,
// and in words.
//
// The lock file stays. It is empty until the first Claim, which writes into it
// who claimed: so it also tells that a journal has been here.
type fileLock struct{ file *os.File }

func lockPath(path string) string { return path + ".lock" }

// lock takes the lock of the journal at path, or returns ErrLocked at once.
func lock(path string) (*fileLock, error) {
	name := lockPath(path)
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = lockExclusively(file)
	if err == nil {
		return &fileLock{file: file}, nil
	}
	if errors.Is(err, errWouldBlock) {
		holder, _ := os.ReadFile(name) // for the message only
		err = fmt.Errorf("%w: %s is locked%s; wait for that process to end, or stop it", ErrLocked, name, holder)
	}
	return nil, closeAfter(file.Close, err)
}

// sign writes into the lock file who holds it. It never empties the file on
// the way: an empty one says that no journal was ever claimed here.
func (l *fileLock) sign() error {
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	holder := fmt.Appendf(nil, " by process %d on %s", os.Getpid(), host)
	if _, err := l.file.WriteAt(holder, 0); err != nil {
		return err
	}
	return l.file.Truncate(int64(len(holder)))
}

// release gives the lock back. The operating system does so with the last
// descriptor, so that an error of Close changes nothing.
func (l *fileLock) release() { _ = l.file.Close() }

// wasClaimed reports whether anybody has ever claimed a journal at path.
func wasClaimed(path string) bool {
	info, err := os.Stat(lockPath(path))
	return err == nil && info.Size() > 0
}
