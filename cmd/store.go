package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/postgres"
	"github.com/edict-dev/edict/internal/journal/sqlite"
)

const (
	defaultJournal = "sqlite:///var/lib/edict/journal.db"
	// passwordVariable holds the password of a PostgreSQL whose URL has none.
	passwordVariable = "EDICT_JOURNAL_PASSWORD"
)

// location is where a journal is: in a SQLite file, or in a PostgreSQL database.
// It prints without its password.
type location struct {
	path string   // of the file; empty: it is a database
	url  *url.URL // of the database
}

func (l location) String() string {
	if l.url == nil {
		return "sqlite://" + l.path
	}
	return l.url.Redacted()
}

// locate reads a journal's URL. Its errors do not hold it: there may be a password in it.
func locate(what, text string) (location, error) {
	if path, ok := strings.CutPrefix(text, "sqlite://"); ok && path != "" {
		return location{path: path}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		err = errors.New("that is no URL; characters such as @, / and % in a password are written %40, %2F and %25, " +
			"or better, the password is left out and given in --journal-password-file or in " + passwordVariable)
	} else if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		err = errors.New("give it as sqlite:///path/to/journal.db or as postgres://user@host:5432/database")
	}
	if err != nil {
		return location{}, fmt.Errorf("%s: %w", what, err)
	}
	return location{url: u}, nil
}

// passwordFlag is where the password of a PostgreSQL is, whose URL should not hold it.
type passwordFlag struct{ file string }

func (p *passwordFlag) add(set *pflag.FlagSet) {
	set.StringVar(&p.file, "journal-password-file", "",
		"a file that holds the password for PostgreSQL, such as a mounted Secret; used if the URL holds none; default: what the variable "+passwordVariable+" holds")
}

// complete returns the location with the password, if it needs one that is given.
func (p *passwordFlag) complete(l location) (location, error) {
	if l.url == nil {
		return l, nil
	}
	if _, has := l.url.User.Password(); has {
		return l, nil
	}
	password := os.Getenv(passwordVariable)
	if p.file != "" {
		text, err := os.ReadFile(p.file)
		if err != nil {
			return l, fmt.Errorf("--journal-password-file: %w", err)
		}
		password = strings.TrimRight(string(text), "\r\n")
	}
	if password == "" {
		return l, nil // it may trust its own network, or know this client's certificate
	}
	with := *l.url
	with.User = url.UserPassword(l.url.User.Username(), password)
	return location{url: &with}, nil
}

// locate reads a journal's URL, and adds the password.
func (p *passwordFlag) locate(what, text string) (location, error) {
	l, err := locate(what, text)
	if err != nil {
		return l, err
	}
	return p.complete(l)
}

// open opens the journal. A SQLite file that is missing is made. Only a journal in
// PostgreSQL can be opened to be read alone.
func (l location) open(ctx context.Context, readOnly bool) (journal.Journal, error) {
	if l.url == nil {
		return sqlite.Open(ctx, l.path, sqlite.Options{})
	}
	return postgres.Open(ctx, l.url.String(), postgres.Options{ReadOnly: readOnly})
}

// isDatabase reports whether projections are in PostgreSQL, and not in a file.
func isDatabase(projections string) bool {
	return strings.HasPrefix(projections, "postgres://") || strings.HasPrefix(projections, "postgresql://")
}

// projections is where the projections of the journal are, unless they are wanted elsewhere.
func (l location) projections() string {
	if l.url == nil {
		return filepath.Join(filepath.Dir(l.path), "projections.db")
	}
	return l.url.String()
}
