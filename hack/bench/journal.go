package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/postgres"
	"github.com/edict-dev/edict/internal/journal/sqlite"
)

const (
	// Events of 300 bytes to 50 streams, each with a key, are what the operator appends.
	journalBytes   = 300
	journalStreams = 50
	// replayPage is how many events are read at once.
	replayPage = 500
	// syncBytes are written before each fsync that is measured; a commit of SQLite's writes a few pages of that size.
	syncBytes = 4096
)

// journalResult is what a store and the disk below it do. Every append is one event and durable when it returns.
type journalResult struct {
	Store     string  `json:"store"`
	Appends1  float64 `json:"appendsPerSecond1Writer"`
	Appends64 float64 `json:"appendsPerSecond64Writers"`
	Replay    float64 `json:"replayEventsPerSecond"`
	Events    int     `json:"replayedEvents"`
	// SyncP50 is of a write of 4 KiB at a file's end and its fsync, in the same directory.
	SyncP50 float64 `json:"fsyncP50Millis"`
	SyncP99 float64 `json:"fsyncP99Millis"`
}

// measureJournals measures both stores, each figure for the time given.
func measureJournals(ctx context.Context, dir string, each time.Duration) (all []journalResult, err error) {
	embedded, err := sqlite.Open(ctx, filepath.Join(dir, "measured.db"), sqlite.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = embedded.Close() }() // nothing in it is of use to anybody
	first, err := measureJournal(ctx, "SQLite", embedded, dir, each)
	if err != nil {
		return nil, err
	}
	database, err := startPostgres(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = firstOf(err, database.Close()) }()
	if err := database.CreateDatabase(ctx, "measured"); err != nil {
		return nil, err
	}
	server, err := postgres.Open(ctx, database.URL("measured"), postgres.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = server.Close() }() // as above
	second, err := measureJournal(ctx, "PostgreSQL", server, dir, each)
	return []journalResult{first, second}, err
}

// measureJournal measures one store. The fsync is measured first, on the disk that the store writes to.
func measureJournal(ctx context.Context, store string, j journal.Journal, dir string, each time.Duration) (journalResult, error) {
	r := journalResult{Store: store}
	syncs, err := measureSync(ctx, filepath.Join(dir, "fsync"), each)
	if err != nil {
		return r, err
	}
	r.SyncP50, r.SyncP99 = millis(quantile(syncs, 0.50)), millis(quantile(syncs, 0.99))
	for shard := range j.Shards() {
		if _, err := j.Claim(ctx, shard); err != nil {
			return r, err
		}
	}
	if r.Appends1, err = measureAppends(ctx, j, 1, each); err != nil {
		return r, err
	}
	if r.Appends64, err = measureAppends(ctx, j, 64, each); err != nil {
		return r, err
	}
	r.Events, r.Replay, err = readThrough(ctx, j, replayPage)
	return r, err
}

func measureSync(ctx context.Context, path string, each time.Duration) ([]time.Duration, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	block := make([]byte, syncBytes)
	var took []time.Duration
	for end := time.Now().Add(each); time.Now().Before(end) && ctx.Err() == nil; {
		began := time.Now()
		if _, err := file.Write(block); err != nil {
			return nil, err
		}
		if err := file.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, ctx.Err()
}

// measureAppends returns appends per second.
func measureAppends(ctx context.Context, j journal.Journal, writers int, each time.Duration) (float64, error) {
	text, err := json.Marshal(strings.Repeat("x", journalBytes))
	if err != nil {
		return 0, err
	}
	end := time.Now().Add(each)
	var appended atomic.Int64
	_, elapsed, err := closedLoop(ctx, writers, writers, func(ctx context.Context, writer int) (time.Duration, error) {
		for n := 0; time.Now().Before(end); n++ {
			key := fmt.Sprintf("command-%d-%d-%d", writers, writer, n)
			_, err := j.Append(ctx, journal.Batch{
				Stream: fmt.Sprintf("bench/agent-%d", n%journalStreams), Expected: journal.AnyVersion, Key: key,
				Events: []journal.Event{{Type: "CommandAccepted", Version: 1, Subject: key, Data: text}},
			})
			if err != nil {
				return 0, err
			}
			appended.Add(1)
		}
		return 0, nil
	})
	return float64(appended.Load()) / elapsed.Seconds(), err
}

// readThrough reads the whole journal once, in pages, and returns how many events it has and how many it read a second.
func readThrough(ctx context.Context, j journal.Journal, page int) (int, float64, error) {
	began, n := time.Now(), 0
	var at journal.Cursor
	for {
		records, err := j.ReadAll(ctx, at, page)
		if err != nil {
			return n, 0, err
		}
		if len(records) == 0 {
			return n, float64(n) / time.Since(began).Seconds(), nil
		}
		n += len(records)
		at = at.After(records)
	}
}
