package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/edict-dev/edict/internal/journal"
)

// scratch is the rows of one stream in a file that has no name, so that nothing of
// it is left wherever the process ends.
type scratch struct {
	stream string
	tables []table
	head   head

	db     *sql.DB
	writer *fileWriter
}

// table is one that holds rows of streams, and the statements that treat all rows of one.
type table struct {
	name    string
	columns []string // but the stream's number
	read    sqlText  // in the order of the table's key
	insert  sqlText  // the number first
	remove  sqlText
}

const scratchPattern = "edict-rebuild-*.db"

// newScratch returns an empty scratch in a directory.
func newScratch(ctx context.Context, dir, stream string) (*scratch, error) {
	sweep(dir)
	file, err := os.CreateTemp(dir, scratchPattern)
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("make a file for the new rows: %w", err)
	}
	f := &scratch{stream: stream}
	err = f.open(ctx, file.Name())
	if removed := os.Remove(file.Name()); err == nil { // before anything is in it
		err = removed
	}
	if err == nil {
		err = f.create()
	}
	if err != nil {
		f.close()
		return nil, fmt.Errorf("make a file for the new rows: %w", err)
	}
	return f, nil
}

// sweep removes files of processes that ended between making one and removing its
// name, which is a matter of milliseconds.
func sweep(dir string) {
	names, _ := filepath.Glob(filepath.Join(dir, scratchPattern)) // the pattern is well formed
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && time.Since(info.ModTime()) > time.Minute {
			_ = os.Remove(name) // or the next one does
		}
	}
}

// open opens the file. No other connection can ever find the file, which is
// never gone on with after a failure: it needs neither a journal nor a sync.
func (f *scratch) open(ctx context.Context, path string) (err error) {
	f.db, err = sql.Open("sqlite", dsn(path, "locking_mode(EXCLUSIVE)", "journal_mode(OFF)", "synchronous(OFF)", writerCache))
	if err != nil {
		return err
	}
	conn, err := f.db.Conn(ctx)
	if err != nil {
		return err
	}
	f.writer = &fileWriter{conn: conn, statements: newPrepared(conn)}
	return nil
}

// create makes the tables.
func (f *scratch) create() error {
	if _, err := f.writer.execute(schema(time.Now())); err != nil {
		return err
	}
	heads, err := headsOf(f.writer, []string{f.stream})
	if err != nil {
		return err
	}
	f.head = heads[f.stream]
	f.tables, err = tablesOf(f.writer)
	return err
}

func (f *scratch) close() {
	if f.writer != nil {
		_ = f.writer.close() // nobody needs it any more
	}
	if f.db != nil {
		_ = f.db.Close()
	}
}

// selectColumns finds the columns of all tables, with their place in the key.
var selectColumns = sqlText{sqlite: `SELECT t.name, c.name, c.pk FROM sqlite_master t, pragma_table_info(t.name) c
	WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> 'streams' ORDER BY t.name, c.cid`}

type column struct {
	table, name string
	key         int // from 1; 0: it is not in the key
}

// tablesOf returns the tables that hold rows of streams, by name: those with a
// column that says of which, but for the one that numbers them.
func tablesOf(tx transaction) ([]table, error) {
	rows, err := tx.query(selectColumns)
	all, err := collect(rows, err, func(rows *sql.Rows) (c column, err error) {
		err = rows.Scan(&c.table, &c.name, &c.key)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	var tables []table
	for len(all) > 0 {
		name := all[0].table
		end := slices.IndexFunc(all, func(c column) bool { return c.table != name })
		if end < 0 {
			end = len(all)
		}
		if t, ok := tableOf(name, all[:end]); ok {
			tables = append(tables, t)
		}
		all = all[end:]
	}
	return tables, nil
}

func tableOf(name string, columns []column) (table, bool) {
	t := table{name: name}
	keyed := map[int]string{}
	for _, c := range columns {
		if c.name == "stream" {
			continue
		}
		t.columns = append(t.columns, c.name)
		if c.key > 0 {
			keyed[c.key] = c.name
		}
	}
	var key, holders []string
	for place := range len(columns) + 1 {
		if keyed[place] != "" {
			key = append(key, keyed[place])
		}
	}
	for i := range t.columns {
		holders = append(holders, fmt.Sprintf("$%d", i+2))
	}
	list, order := strings.Join(t.columns, ", "), ""
	if len(key) > 0 {
		order = " ORDER BY " + strings.Join(key, ", ")
	}
	t.read = portable(fmt.Sprintf(`SELECT %s FROM %s WHERE stream = $1%s`, list, name, order))
	t.insert = portable(fmt.Sprintf(`INSERT INTO %s (stream, %s) VALUES ($1, %s)`, name, list, strings.Join(holders, ", ")))
	t.remove = portable(fmt.Sprintf(`DELETE FROM %s WHERE stream = $1`, name))
	return t, len(t.columns) < len(columns)
}

// readAtOnce is how many records of a stream are read, and written, at once.
const readAtOnce = 2048

// extend adds the records of the stream that are not there yet, up to a position of
// its shard. An event that cannot be read is a fault of kind Corrupt.
func (f *scratch) extend(ctx context.Context, log Log, position int64) error {
	for {
		records, err := log.ReadStream(ctx, f.stream, f.head.sequence+1, readAtOnce)
		if err != nil {
			return fmt.Errorf("read %s from sequence %d: %w", f.stream, f.head.sequence+1, err)
		}
		later := slices.IndexFunc(records, func(r journal.Record) bool { return r.Position > position })
		wanted := records
		if later >= 0 {
			wanted = records[:later]
		}
		if err := errors.Join(ctx.Err(), f.add(wanted)); err != nil {
			return err
		}
		if later >= 0 || len(records) < readAtOnce {
			return nil
		}
	}
}

func (f *scratch) add(records []journal.Record) error {
	if len(records) == 0 {
		return nil
	}
	heads := map[string]head{f.stream: f.head}
	changes := foldAll(records)
	before, err := standingIn(f.writer, changes, heads)
	if err != nil {
		return err
	}
	done := plan(changes, heads, before)
	f.head = done.heads[f.stream]
	if f.head.stop != nil {
		return f.head.stop.fault(f.stream)
	}
	if _, err := f.writer.execute(begin); err != nil {
		return err
	}
	if err := f.writer.write(done.writes); err != nil {
		return err
	}
	_, err = f.writer.execute(commit)
	return err
}

func (f *scratch) survey(ctx context.Context) (survey, error) {
	return surveyOf(ctx, f.writer, f.tables, f.head)
}
