package agent

import "slices"

// Commands that concern the same thing run one at a time, in the order accepted:
// the asks of a conversation, because one is about what the one before was
// answered; what changes a collection of documents, because the content that was
// read last is to stand, and a collection is not to be half removed; the summaries
// of one conversation or collection, because the second finds that there is nothing
// new, and no model is paid twice; and looks at an object under one name, because
// what was read last is to stand there, too.

// lane names what the command has to itself while it runs, empty if it waits for nobody.
func (c *Command) lane() string {
	switch c.Intent.Type {
	case Ask:
		return "conversation " + c.Conversation
	case IndexDocuments:
		return laneOfCollection(c.Intent.IndexDocuments().Collection)
	case RemoveDocuments:
		return laneOfCollection(c.Intent.RemoveDocuments().Collection)
	case Summarize:
		if p := c.Intent.Summarize(); p.Collection != "" {
			return "summary of collection " + p.Collection
		}
		return "summary of conversation " + c.Intent.Summarize().Conversation
	case Observe:
		return laneOfObservation(c.Intent.Observe().Name)
	}
	return ""
}

func laneOfCollection(name string) string { return "collection " + name }

func laneOfObservation(name string) string { return "observation " + name }

// busy reports whether an open command has the lane.
func (s *State) busy(lane string) bool { return len(s.queues[lane]) > 0 }

// join puts an open command at the end of its lane.
func (s *State) join(c *Command) {
	if lane := c.lane(); lane != "" {
		s.queues[lane] = append(s.queues[lane], c.Key)
	}
}

// waits reports whether it is another command's turn.
func (s *State) waits(c *Command) bool {
	queue := s.queues[c.lane()]
	return len(queue) > 0 && queue[0] != c.Key
}

// leave takes an ended command out of its lane, and returns the key of the next one in it.
func (s *State) leave(c *Command) []string {
	lane := c.lane()
	if lane == "" {
		return nil
	}
	queue := slices.DeleteFunc(s.queues[lane], func(key string) bool { return key == c.Key })
	if len(queue) == 0 {
		delete(s.queues, lane)
		return nil
	}
	s.queues[lane] = queue
	return queue[:1:1]
}
