package main

import (
	"bufio"
	"encoding/json"
	"os"
)

// results is the file of JSON lines. Each line has a field `result` that says of what kind it is, beside the fields of
// the struct that was added. It is written line by line, so that a bench that is stopped leaves what it had.
type results struct {
	file *os.File
	err  error // the first
}

func newResults(path string) (*results, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &results{file: file}, nil
}

// add writes a line. An error is kept for close.
func (r *results) add(kind string, value any) {
	fields, err := json.Marshal(value)
	if err == nil {
		w := bufio.NewWriter(r.file)
		_, _ = w.WriteString(`{"result":"` + kind + `",`) // Flush returns an error of any write
		_, _ = w.Write(append(fields[1:], '\n'))
		err = w.Flush()
	}
	r.err = firstOf(r.err, err)
}

func (r *results) close() error { return firstOf(r.err, r.file.Close()) }
