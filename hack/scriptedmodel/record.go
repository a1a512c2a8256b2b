package scriptedmodel

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
)

// Stats is what a server was asked.
type Stats struct {
	Calls        int     `json:"calls"`        // answered or not; without the unauthorized
	Repairs      int     `json:"repairs"`      // of them, asked again with a complaint about the answer before
	Unscripted   int     `json:"unscripted"`   // of them, no rule was for them
	Unauthorized int     `json:"unauthorized"` // refused for their key
	Embeddings   int     `json:"embeddings"`   // requests for vectors, answered or not
	Embedded     int     `json:"embedded"`     // texts in them
	Asked        []Asked `json:"asked"`        // by question, user and step
	// Repeated are those of Asked whose Calls exceed one. A step that is asked again after its decision has been
	// recorded shows up here; so does one whose answer was lost on the way, which is no fault.
	Repeated []Asked `json:"repeated"`
}

// Asked is one step of one ask. Calls does not count its repairs.
type Asked struct {
	Question string `json:"question"`
	User     string `json:"user,omitempty"`
	Step     int    `json:"step"`
	Calls    int    `json:"calls"`
	Repairs  int    `json:"repairs,omitempty"`
}

// Request is one call as it arrived.
type Request struct {
	Ask
	Mode   string // tools, json_schema, json_object or text
	Body   []byte
	Header http.Header
}

// step identifies a step of an ask. Two asks of the same words are told apart by the user that the decider names.
type step struct {
	question, user string
	number         int
}

// met identifies how often a step met a rule.
type met struct {
	step step
	rule *rule
}

// record counts. Its zero value has to be reset before use.
type record struct {
	mu     sync.Mutex
	totals Stats // without its lists
	asked  map[step]*Asked
	met    map[met]int
	kept   []Request
}

func (r *record) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.totals, r.kept = Stats{}, nil
	r.asked, r.met = map[step]*Asked{}, map[met]int{}
}

// call counts one call, keeps it among the latest, and returns how often its step has met the rule.
func (r *record) call(ask Ask, rule *rule, request Request, keep int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.totals.Calls++
	if rule == nil {
		r.totals.Unscripted++
	}
	s := step{ask.Question, ask.User, ask.Step}
	asked := r.asked[s]
	if asked == nil {
		asked = &Asked{Question: ask.Question, User: ask.User, Step: ask.Step}
		r.asked[s] = asked
	}
	if ask.Repair {
		r.totals.Repairs++
		asked.Repairs++
	} else {
		asked.Calls++
	}
	if keep > 0 {
		r.kept = append(r.kept, request)
		if len(r.kept) > keep {
			r.kept = slices.Delete(r.kept, 0, len(r.kept)-keep)
		}
	}
	if rule == nil || rule.Misbehave == nil {
		return 1
	}
	r.met[met{s, rule}]++
	return r.met[met{s, rule}]
}

func (r *record) unauthorized() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.totals.Unauthorized++
}

// embedding counts one request for vectors, and returns how many there were.
func (r *record) embedding(texts int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.totals.Embeddings++
	r.totals.Embedded += texts
	return r.totals.Embeddings
}

func (r *record) latest() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.kept)
}

func (r *record) stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.totals
	s.Asked, s.Repeated = []Asked{}, []Asked{}
	for _, a := range r.asked {
		s.Asked = append(s.Asked, *a)
	}
	slices.SortFunc(s.Asked, func(a, b Asked) int {
		return cmp.Or(cmp.Compare(a.Question, b.Question), cmp.Compare(a.User, b.User), cmp.Compare(a.Step, b.Step))
	})
	for _, a := range s.Asked {
		if a.Calls > 1 {
			s.Repeated = append(s.Repeated, a)
		}
	}
	return s
}
