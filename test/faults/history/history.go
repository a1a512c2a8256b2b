// Package history judges what happened under faults. It is given records, and what clients and receivers saw, and
// returns the violations that it finds, one sentence each: no sentence, no violation. It judges, and makes nothing
// happen: it knows stores only by the interface of package journal, and starts no process.
//
//   - Records holds a whole journal against the rules of a journal and of an agent's stream.
//   - Check holds what clients of a journal were told against a model of it, by linearizability; a Recorder writes it
//     down.
//   - Acknowledged looks for what was acknowledged and is not there.
//   - Effects holds what a receiver counted against what the journal says of each command.
package history

import (
	"bytes"
	"fmt"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// Records returns what is wrong with a whole journal, whose records are in the order in which ReadAll returned them.
func Records(records []journal.Record) []string {
	c := &check{
		positions: map[int]journal.Record{},
		epochs:    map[int]int64{},
		tips:      map[string]journal.Record{},
		streams:   map[string]*stream{},
	}
	for _, r := range records {
		c.place(r)
		c.link(r)
		c.meaning(r)
		c.tips[r.Stream] = r
	}
	return c.found
}

// check is what is known of the records seen so far.
type check struct {
	found     []string
	positions map[int]journal.Record    // by shard: the one with the highest position
	epochs    map[int]int64             // by shard: the highest
	tips      map[string]journal.Record // by stream: the last
	streams   map[string]*stream
}

// violate notes a violation; the record says where.
func (c *check) violate(r journal.Record, format string, args ...any) {
	where := fmt.Sprintf("%s event %d (%s", r.Stream, r.Sequence, r.Type)
	if r.Subject != "" {
		where += " of " + r.Subject
	}
	c.found = append(c.found, where+"): "+fmt.Sprintf(format, args...))
}

// place checks the record's place in its shard; its epoch is for meaning to judge.
func (c *check) place(r journal.Record) {
	last, seen := c.positions[r.Shard]
	if seen && r.Position <= last.Position {
		c.violate(r, "position %d of shard %d follows position %d", r.Position, r.Shard, last.Position)
		return
	}
	c.positions[r.Shard] = r
}

// link checks the record's place in its stream.
func (c *check) link(r journal.Record) {
	last, seen := c.tips[r.Stream]
	if r.Sequence != last.Sequence+1 {
		c.violate(r, "sequence %d follows sequence %d", r.Sequence, last.Sequence)
		return
	}
	var hash journal.Hash
	if seen {
		hash = last.Hash()
	}
	switch {
	case r.Previous != hash:
		c.violate(r, "the record before it has hash %s, and it holds %s", hash, r.Previous)
	case seen && r.Shard != last.Shard:
		c.violate(r, "its stream went from shard %d to shard %d", last.Shard, r.Shard)
	case seen && r.Time.Before(last.Time):
		c.violate(r, "its time %s is before that of the event before it, %s", r.Time, last.Time)
	}
}

// meaning decodes the record and checks what it says.
func (c *check) meaning(r journal.Record) {
	s := c.streams[r.Stream]
	if s == nil {
		s = &stream{check: c, lives: map[string]*life{}, issued: map[string]issue{}}
		c.streams[r.Stream] = s
	}
	event, err := agent.Decode(agent.Stored(r.Event))
	if err != nil {
		c.violate(r, "%v", err)
		return
	}
	c.epoch(s, r, event)
	s.take(r, event)
}

// epoch checks that whoever wrote the record was the shard's writer. A writer whose epoch is over may still say how an
// attempt ended that it had started, and with the same batch what follows from that.
func (c *check) epoch(s *stream, r journal.Record, event agent.Event) {
	newest := c.epochs[r.Shard]
	c.epochs[r.Shard] = max(newest, r.Epoch)
	late := r.Epoch < newest
	if late && !s.closes(r, event) && !s.concludes(r, event) {
		c.violate(r, "it was written under epoch %d after epoch %d had begun, and ends no attempt of epoch %d", r.Epoch, newest, r.Epoch)
	}
	s.late = nil
	if late {
		s.late = &r
	}
}

// Acknowledged returns what of the acknowledged records is not in the journal, or is not what was acknowledged. Both
// are of the same journal.
func Acknowledged(acknowledged, final []journal.Record) []string {
	type place struct {
		stream   string
		sequence int64
	}
	there := make(map[place]journal.Record, len(final))
	for _, r := range final {
		there[place{r.Stream, r.Sequence}] = r
	}
	var c check
	for _, r := range acknowledged {
		found, ok := there[place{r.Stream, r.Sequence}]
		switch {
		case !ok:
			c.violate(r, "it was acknowledged and is not in the journal")
		case !same(r, found):
			c.violate(r, "it was acknowledged at position %d of shard %d, epoch %d, with data %.200s; the journal has %s of %q at position %d of shard %d, epoch %d, with data %.200s",
				r.Position, r.Shard, r.Epoch, r.Data, found.Type, found.Subject, found.Position, found.Shard, found.Epoch, found.Data)
		}
	}
	return c.found
}

func same(a, b journal.Record) bool {
	return a.Shard == b.Shard && a.Position == b.Position && a.Epoch == b.Epoch && a.Previous == b.Previous &&
		a.Hash() == b.Hash() && bytes.Equal(a.Data, b.Data)
}
