package projection

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/url"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/edict-dev/edict/internal/fault"
)

// application marks a SQLite file as one of ours, and so as one that may be
// dropped: "EdPj" in ASCII.
const application = 0x4564506a

// claim makes sure that there is a file at path that is ours: an empty one, or
// one that carries our mark. Anything else is refused, so that a wrong path never
// costs anybody a file, least of all the journal.
func claim(path string) (fresh bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // it holds what people said
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	const markAt = 68 // SQLite file format, section 1.3: the application id
	header := make([]byte, markAt+4)
	n, err := io.ReadFull(f, header)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return true, nil
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return false, err
	case !bytes.HasPrefix(header, []byte("SQLite format 3\x00")) || binary.BigEndian.Uint32(header[markAt:]) != application:
		return false, fault.NewInvalid("NotAProjection", "the file at %s is not a projection; name another path, or remove the file if nobody needs it", path)
	}
	return false, nil
}

// drop removes a file that claim found to be ours, with what SQLite keeps beside it.
func drop(path string) error {
	var errs []error
	for _, name := range []string{path + "-journal", path + "-wal", path + "-shm", path} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// damaged reports whether SQLite says that the file cannot be read.
func damaged(err error) bool {
	var said *sqlite.Error
	if !errors.As(err, &said) {
		return false
	}
	code := said.Code() & 0xff
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}

func dsn(path string, pragmas ...string) string {
	values := url.Values{"_pragma": pragmas}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + values.Encode()
}
