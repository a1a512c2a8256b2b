package history

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/edict-dev/edict/internal/journal"
)

// CheckOptions bounds a check. The zero value bounds nothing and draws nothing.
type CheckOptions struct {
	Timeout time.Duration // for all streams together; a check that runs into it is a violation, because nothing is proved
	Drawing string        // path of an HTML file that shows the first stream which does not fit
}

// Check returns the streams whose operations cannot have happened one after the other, each at some moment between its
// call and its return: some client was told what no journal could have told it. All clients began with an empty journal,
// or with streams that are not among the operations.
//
// When every client has come to its end, let one read each stream from its first record: what that read does not show
// of the unknown appends never happened, and the check is much faster for it.
func Check(operations []Operation, o CheckOptions) []string {
	streams := map[string][]Operation{}
	for _, op := range operations {
		streams[op.Stream] = append(streams[op.Stream], op)
	}
	deadline := time.Now().Add(o.Timeout)
	var found []string
	for _, name := range slices.Sorted(maps.Keys(streams)) {
		left := time.Duration(0) // unbounded, to porcupine
		if o.Timeout > 0 {
			left = max(time.Until(deadline), time.Nanosecond)
		}
		history := inPorcupine(decideUnknown(streams[name]))
		switch porcupine.CheckOperationsTimeout(model, history, left) {
		case porcupine.Unknown:
			found = append(found, fmt.Sprintf("%s: whether its %d operations fit was not found out within %s", name, len(history), o.Timeout))
		case porcupine.Illegal:
			found = append(found, fmt.Sprintf("%s: no order of its %d operations explains what clients were told%s",
				name, len(history), draw(history, len(found) == 0, o)))
		}
	}
	return found
}

// draw writes the drawing that was asked for, and returns what to say of it.
func draw(history []porcupine.Operation, first bool, o CheckOptions) string {
	if o.Drawing == "" || !first {
		return ""
	}
	_, info := porcupine.CheckOperationsVerbose(model, history, max(o.Timeout, time.Second))
	if err := porcupine.VisualizePath(model, info, o.Drawing); err != nil {
		return fmt.Sprintf("; it could not be drawn: %v", err)
	}
	return "; see " + o.Drawing
}

// decideUnknown replaces what a last read of the whole stream tells of unknown appends. Those that it does not show can
// be left out: nobody has seen them. One that it shows, under a key that nobody was told to have appended, has happened
// by then.
func decideUnknown(operations []Operation) []Operation {
	last := lastRead(operations)
	if last < 0 {
		return operations
	}
	read := operations[last]
	appended, doubtful := map[string]bool{}, map[string]int{} // by the first event's fingerprint
	for _, op := range operations {
		switch {
		case op.Kind != Append || len(op.Events) == 0:
		case op.Answer == OK:
			appended[op.Events[0]] = true
		case op.Answer == Unknown:
			doubtful[op.Events[0]]++
		}
	}
	decided := make([]Operation, 0, len(operations))
	for _, op := range operations {
		if op.Kind == Append && op.Answer == Unknown && len(op.Events) > 0 {
			at := slices.Index(read.Read, op.Events[0])
			another := appended[op.Events[0]]
			if at < 0 || another && op.Key != "" {
				continue
			}
			if doubtful[op.Events[0]] == 1 && !another {
				first := int64(at) + 1
				op.Answer, op.Return = OK, read.Return
				op.Span, op.Read = journal.Span{First: first, Last: first + int64(len(op.Events)) - 1}, op.Events
			}
		}
		decided = append(decided, op)
	}
	return decided
}

// lastRead returns the index of a read of the whole stream that was called when everything else had returned, -1 if
// there is none.
func lastRead(operations []Operation) int {
	found := -1
	var end time.Duration
	for i, op := range operations {
		whole := op.Kind == ReadStream && op.From <= 1 && len(op.Read) < op.Limit
		if whole && (found < 0 || op.Call > operations[found].Call) {
			found = i
		}
	}
	for i, op := range operations {
		if i != found && op.Return != never {
			end = max(end, op.Return)
		}
	}
	if found < 0 || operations[found].Call <= end {
		return -1
	}
	return found
}

func inPorcupine(operations []Operation) []porcupine.Operation {
	history := make([]porcupine.Operation, 0, len(operations))
	for _, op := range operations {
		history = append(history, porcupine.Operation{ClientId: op.Client, Input: op, Output: op, Call: int64(op.Call), Return: int64(op.Return)})
	}
	return history
}

// state is a stream, as a list of its batches from the last to the first. It is never changed.
type state struct {
	*batch

	hash uint64 // of all its batches
}

type batch struct {
	before *batch
	key    string
	span   journal.Span
	events []string
}

var model = porcupine.Model{
	Init:  func() any { return state{} },
	Step:  func(s, in, _ any) (bool, any) { return step(as[state](s), as[Operation](in)) },
	Equal: func(a, b any) bool { return as[state](a).same(as[state](b)) },
	Hash:  func(s any) uint64 { return as[state](s).hash },

	DescribeOperation: func(in, _ any) string { return describe(as[Operation](in)) },
	DescribeState:     func(s any) string { return fmt.Sprintf("head %d", as[state](s).head()) },
}

// as returns what porcupine was given, and gives back.
func as[T any](v any) T {
	t, ok := v.(T)
	if !ok {
		panic(fmt.Sprintf("porcupine gave a %T", v))
	}
	return t
}

// step says whether a journal in that state answers so, and returns its state afterwards.
func step(s state, o Operation) (bool, state) {
	switch o.Kind {
	case Append:
		return s.append(o)
	case Find:
		span, found := s.find(o.Key)
		return found == o.Found && span == o.Span, s
	case Head:
		return s.head() == o.Sequence, s
	case ReadStream:
		return slices.Equal(s.read(o.From, o.Limit), o.Read), s
	}
	return false, s
}

func (s state) append(o Operation) (bool, state) {
	span, duplicate := s.find(o.Key)
	head := s.head()
	late := o.Expected != journal.AnyVersion && o.Expected != head
	next := journal.Span{First: head + 1, Last: head + int64(len(o.Events))}
	switch o.Answer {
	case Unknown: // where it cannot happen it does not, and the end is a place for one that never did
		if duplicate || late {
			return true, s
		}
		return true, s.with(o, next)
	case OK:
		fits := !duplicate && !late && o.Span == next && slices.Equal(o.Read, o.Events)
		return fits, s.with(o, next)
	case DuplicateKey:
		return duplicate && o.Span == span, s
	case VersionError:
		return !duplicate && late && o.Sequence == head, s
	}
	return false, s
}

func (s state) with(o Operation, span journal.Span) state {
	h := fnv.New64a()
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], s.hash)
	for _, part := range [][]byte{number[:], []byte(o.Key), {0}, []byte(strings.Join(o.Events, " "))} {
		_, _ = h.Write(part) // a hash takes every byte
	}
	return state{batch: &batch{before: s.batch, key: o.Key, span: span, events: o.Events}, hash: h.Sum64()}
}

func (s state) same(other state) bool { return s.hash == other.hash && s.head() == other.head() }

func (s state) head() int64 {
	if s.batch == nil {
		return 0
	}
	return s.span.Last
}

func (s state) find(key string) (journal.Span, bool) {
	for b := s.batch; b != nil && key != ""; b = b.before {
		if b.key == key {
			return b.span, true
		}
	}
	return journal.Span{}, false
}

// read returns the fingerprints of up to limit events, beginning with sequence from.
func (s state) read(from int64, limit int) []string {
	from = max(from, 1)
	end := min(s.head(), from+int64(limit)-1)
	if end < from {
		return nil
	}
	out := make([]string, end-from+1)
	for b := s.batch; b != nil && b.span.Last >= from; b = b.before {
		for i, e := range b.events {
			if at := b.span.First + int64(i); at >= from && at <= end {
				out[at-from] = e
			}
		}
	}
	return out
}

func describe(o Operation) string {
	switch o.Kind {
	case Append:
		return fmt.Sprintf("Append(%q at %d) → %s %v", o.Key, o.Expected, o.Answer, o.Span)
	case Find:
		return fmt.Sprintf("Find(%q) → %v %v", o.Key, o.Found, o.Span)
	case Head:
		return fmt.Sprintf("Head → %d", o.Sequence)
	}
	return fmt.Sprintf("ReadStream(%d, %d) → %d records", o.From, o.Limit, len(o.Read))
}
