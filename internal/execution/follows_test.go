package execution

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

func TestOfSeveralWhoSupersedeAMemoryAtOnceOneDoes(t *testing.T) {
	w := newWorld(t)
	p := w.start(nil)
	defer p.end()
	first := order("first", agent.NewIntent(agent.SaveMemory, agent.SaveMemoryPayload{Kind: "seat", Content: "window"}))
	submit(t, p, first)
	const people = 8
	ended := make([]*agent.Command, people)
	var all sync.WaitGroup
	for i := range people {
		all.Go(func() {
			ended[i] = submit(t, p, order(fmt.Sprintf("then-%d", i), agent.NewIntent(agent.SaveMemory,
				agent.SaveMemoryPayload{Kind: "seat", Content: fmt.Sprint("row ", i), Supersedes: agent.MemoryID(first.Key)})))
		})
	}
	all.Wait()
	succeeded := 0
	for _, c := range ended {
		switch {
		case c.Phase == agent.Succeeded:
			succeeded++
		case c.Reason != "MemoryUnknown":
			t.Errorf("%s is %s (%s): %s", c.Name, c.Phase, c.Reason, c.Message)
		}
	}
	if saved := p.count("MemorySaved"); succeeded != 1 || saved != 2 {
		t.Errorf("%d took its place, and %d memories were saved", succeeded, saved)
	}
}

// Documents that are indexed together are removed together, whatever meets: at no
// command's end does the collection hold one of them without the other.
func TestACollectionIsNeverHalfRemoved(t *testing.T) {
	w, s := newWorld(t), &shelf{}
	p := s.life(w, nil)
	defer p.end()
	const rounds = 8
	var orders []agent.Order
	for i := range rounds {
		docs := []agent.InlineDocument{{Name: "a", Text: fmt.Sprint("always ", i%2)}, {Name: "b", Text: "the same"}}
		orders = append(orders, indexOrder(fmt.Sprintf("index-%d", i), agent.IndexDocumentsPayload{Inline: docs}),
			order(fmt.Sprintf("remove-%d", i), agent.NewIntent(agent.RemoveDocuments, agent.RemoveDocumentsPayload{Collection: "visa"})))
	}
	submit(t, p, orders[0])
	p.wait(orders[0]) // so that there is something to remove
	var all sync.WaitGroup
	for _, o := range orders[1:] {
		all.Go(func() { submit(t, p, o) })
	}
	all.Wait()
	for _, o := range orders {
		if c := p.wait(o); c.Phase != agent.Succeeded && c.Reason != "CollectionUnknown" {
			t.Errorf("%s is %s (%s): %s", c.Name, c.Phase, c.Reason, c.Message)
		}
	}
	records, err := p.journal.ReadStream(context.Background(), "travel/concierge", 1, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	checkWhole(t, records)
}

// checkWhole folds the records, and looks at the collection at each end of a command.
func checkWhole(t *testing.T, records []journal.Record) {
	t.Helper()
	state, ends, removed := agent.NewState(), 0, 0
	for _, r := range records {
		recorded, err := decode(r)
		if err != nil {
			t.Fatal(err)
		}
		state.Apply(recorded)
		switch recorded.Event.(type) {
		case agent.DocumentsRemoved:
			removed++
		case agent.CommandSucceeded, agent.CommandFailed:
			ends++
			if held := len(state.Documents["visa"]); held != 0 && held != 2 {
				t.Errorf("as of %d the collection holds %d documents of two", r.Sequence, held)
			}
		}
	}
	if ends == 0 || removed == 0 {
		t.Errorf("%d commands ended, and %d removed something: this tells nothing", ends, removed)
	}
}
