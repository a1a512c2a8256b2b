package projection

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
)

// writerCache is how much of a file a connection that writes keeps in memory, in
// KiB: SQLite's own measure, 2 MB, is too little for the indexes of a long stream,
// whose keys come in no order.
const writerCache = "cache_size(-32768)"

// file is a SQLite file: one connection that writes, some that read.
type file struct {
	path        string
	writing     sync.Mutex // held through a transaction
	write, read *sql.DB
	writer      *fileWriter
	reading     *prepared
}

func openFile(ctx context.Context, path string, readers int) (*file, error) {
	fresh, err := claim(path)
	if err != nil {
		return nil, err
	}
	f := &file{path: path}
	if err := f.connect(ctx, path, readers, fresh); err != nil {
		_ = f.close() // what went wrong first is what matters
		return nil, err
	}
	return f, nil
}

func (f *file) connect(ctx context.Context, path string, readers int, fresh bool) (err error) {
	// WAL with synchronous NORMAL syncs at checkpoints alone. OFF would save
	// little more, and a power cut could leave a file that looks sound and is not.
	if f.write, err = sql.Open("sqlite", dsn(path, "busy_timeout(5000)", "synchronous(NORMAL)", "wal_autocheckpoint(4000)", writerCache)); err != nil {
		return err
	}
	conn, err := f.write.Conn(ctx)
	if err != nil {
		return err
	}
	f.writer = &fileWriter{conn: conn, statements: newPrepared(conn)}
	if fresh {
		// The mark first and outside WAL: it has to be in the file itself, where claim looks.
		for _, statement := range []string{fmt.Sprintf("PRAGMA application_id = %d", application), "PRAGMA journal_mode = WAL"} {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("mark the file: %w", err)
			}
		}
	}
	if f.read, err = sql.Open("sqlite", dsn(path, "busy_timeout(5000)", "query_only(1)")); err != nil {
		return err
	}
	f.read.SetMaxOpenConns(readers)
	f.read.SetMaxIdleConns(readers)
	f.reading = newPrepared(f.read)
	return nil
}

func (f *file) transact(work func(tx transaction) error) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	if _, err := f.writer.execute(begin); err != nil {
		return err
	}
	err := work(f.writer)
	if err == nil {
		_, err = f.writer.execute(commit)
	}
	if err != nil {
		_, _ = f.writer.execute(rollback) // says so itself if SQLite has rolled back already
	}
	return err
}

func (f *file) transactLong(work func(tx transaction) error) error { return f.transact(work) }

func (f *file) snapshot(ctx context.Context, work func(tx transaction) error) error {
	conn, err := f.read.Conn(ctx)
	if err != nil {
		return err
	}
	reader := &fileWriter{conn: conn, statements: newPrepared(conn)}
	defer func() { _ = reader.close() }() // back to those that read
	if _, err := reader.execute(beginToRead); err != nil {
		return err
	}
	err = work(reader)
	_, ended := reader.execute(rollback) // it has written nothing
	return errors.Join(err, ended)
}

// scratch is beside the file: there is room where it may grow.
func (f *file) scratch() string { return filepath.Dir(f.path) }

// found needs no lock but the transaction's own. The file's mark says that all
// that is in it is ours.
func (f *file) found(tx transaction) ([]string, error) {
	rows, err := tx.query(tablesInSQLite)
	return collect(rows, err, scanOne[string])
}

func (f *file) query(ctx context.Context, text sqlText, args ...any) (*sql.Rows, error) {
	statement, err := f.reading.get(ctx, text)
	if err != nil {
		return nil, err
	}
	return statement.QueryContext(ctx, args...)
}

// shared is false: another process may have moved the file on before this one
// follows, but one at a time follows.
func (f *file) shared() bool { return false }

func (f *file) passing(error) bool { return false }

func (f *file) close() error {
	var errs []error
	if f.writer != nil {
		errs = append(errs, f.writer.close())
	}
	for _, db := range []*sql.DB{f.read, f.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

var (
	beginToRead    = sqlText{sqlite: "BEGIN", postgres: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}
	begin          = sqlText{sqlite: "BEGIN IMMEDIATE", postgres: "BEGIN"}
	commit         = portable("COMMIT")
	rollback       = portable("ROLLBACK")
	tablesInSQLite = sqlText{sqlite: `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name <> 'checkpoints', name DESC`}
	addStream      = sqlText{sqlite: `INSERT INTO streams (name, sequence) VALUES ($1, 0)`}
	selectHeads    = sqlText{sqlite: `SELECT ` + headColumns + ` WHERE s.name IN (SELECT value FROM json_each($1))`}
)

// fileWriter is a connection that is its own transaction: the one that writes, or
// one that looks at a snapshot.
type fileWriter struct {
	conn       *sql.Conn
	statements *prepared
}

func (w *fileWriter) execute(text sqlText, args ...any) (int64, error) {
	statement, err := w.statements.get(context.Background(), text)
	if err != nil {
		return 0, err
	}
	done, err := statement.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

func (w *fileWriter) query(text sqlText, args ...any) (*sql.Rows, error) {
	statement, err := w.statements.get(context.Background(), text)
	if err != nil {
		return nil, err
	}
	return statement.QueryContext(context.Background(), args...)
}

func (w *fileWriter) write(all []write) error {
	for _, one := range all {
		if _, err := w.execute(one.text, one.args...); err != nil {
			return one.failed(err)
		}
	}
	return nil
}

func (w *fileWriter) heads(names []string) (map[string]head, error) {
	list, err := json.Marshal(names)
	if err != nil {
		return nil, err
	}
	return gather(w.query(selectHeads, string(list)))
}

func (w *fileWriter) number(names []string) error {
	for _, name := range names {
		if _, err := w.execute(addStream, name); err != nil {
			return err
		}
	}
	return nil
}

func (w *fileWriter) close() error {
	w.statements.close()
	return w.conn.Close()
}

// prepared keeps the statements of a connection, or of several, by their text.
type prepared struct {
	from interface {
		PrepareContext(ctx context.Context, text string) (*sql.Stmt, error)
	}
	mu  sync.Mutex
	all map[string]*sql.Stmt
}

func newPrepared(from interface {
	PrepareContext(ctx context.Context, text string) (*sql.Stmt, error)
}) *prepared {
	return &prepared{from: from, all: map[string]*sql.Stmt{}}
}

func (p *prepared) get(ctx context.Context, text sqlText) (*sql.Stmt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if statement := p.all[text.sqlite]; statement != nil {
		return statement, nil
	}
	statement, err := p.from.PrepareContext(ctx, text.sqlite)
	if err != nil {
		return nil, err
	}
	p.all[text.sqlite] = statement
	return statement, nil
}

func (p *prepared) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, statement := range p.all {
		_ = statement.Close() // the connection goes next, and takes with it what is left
	}
}
