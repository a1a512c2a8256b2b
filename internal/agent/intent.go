package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
)

// Intent is what a command wants, without who watches over it: two commands with
// the same type and payload want the same.
type Intent struct {
	Type    Type            `json:"type"`
	Payload json.RawMessage `json:"payload"` // canonical JSON; one of the *Payload types
}

// The payloads, by command type.
type (
	// AskPayload is a question put to an agent.
	AskPayload struct {
		Conversation string `json:"conversation"`
		Message      string `json:"message"`
		SaidBy       string `json:"saidBy,omitempty"` // where several talk to the agent: who
	}
	// SaveMemoryPayload is something to be remembered.
	SaveMemoryPayload struct {
		Kind       string `json:"kind"`
		Content    string `json:"content"`
		Importance int    `json:"importance,omitempty"` // 1 to 10
		SaidBy     string `json:"saidBy,omitempty"`
		Supersedes string `json:"supersedes,omitempty"` // id of a memory
		TTLSeconds int64  `json:"ttlSeconds,omitempty"`
	}
	// ForgetMemoryPayload names a memory to be forgotten.
	ForgetMemoryPayload struct {
		ID string `json:"id"`
	}
	// CallAPIPayload names an operation of the agent's menu, and its arguments.
	CallAPIPayload struct {
		Operation string          `json:"operation"`
		Arguments json.RawMessage `json:"arguments,omitempty"`
	}
	// IndexDocumentsPayload names documents to read, split and record. Exactly one of Inline, ConfigMap, Selector and URL is set.
	IndexDocumentsPayload struct {
		Collection string           `json:"collection"`
		Inline     []InlineDocument `json:"inline,omitempty"`
		ConfigMap  *ConfigMapSource `json:"configMap,omitempty"`
		Selector   json.RawMessage  `json:"configMapSelector,omitempty"` // a Kubernetes label selector
		URL        string           `json:"url,omitempty"`
		Chunking   Chunking         `json:"chunking"`
	}
	// InlineDocument is a document in the command itself.
	InlineDocument struct {
		Name string `json:"name"`
		Text string `json:"text"`
	}
	// ConfigMapSource is a ConfigMap in the agent's namespace; each key is a document.
	ConfigMapSource struct {
		Name   string   `json:"name"`
		Keys   []string `json:"keys,omitempty"`   // empty: all
		Digest string   `json:"digest,omitempty"` // of its data, as the operator saw it; another content is not indexed by this command
	}
	// Chunking is how documents are split.
	Chunking struct {
		MaxTokens     int `json:"maxTokens"`     // of one chunk
		OverlapTokens int `json:"overlapTokens"` // that a chunk repeats of the one before it
	}
	// RemoveDocumentsPayload names documents to withdraw.
	RemoveDocumentsPayload struct {
		Collection string   `json:"collection"`
		Documents  []string `json:"documents,omitempty"` // empty: all of the collection
	}
	// SummarizePayload names what a model is to summarise: exactly one of Conversation and Collection is set.
	SummarizePayload struct {
		Conversation string `json:"conversation,omitempty"`
		Collection   string `json:"collection,omitempty"`
		UpTo         int64  `json:"upTo,omitempty"` // sequence; 0: all that there is when the command is accepted
	}
	// ObservePayload names fields of a Kubernetes object, and the observation that they are recorded as.
	ObservePayload struct {
		Name   string          `json:"name"` // of the observation
		Object ObjectReference `json:"object"`
		Fields []ObservedField `json:"fields"`
	}
	// ObjectReference names a Kubernetes object.
	ObjectReference struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Namespace  string `json:"namespace,omitempty"` // empty: the agent's own, or none if the kind has none
		Name       string `json:"name"`
	}
	// ObservedField is a value of the object. Exactly one of JSONPath and CEL is set.
	ObservedField struct {
		Name     string `json:"name"`
		JSONPath string `json:"jsonPath,omitempty"`
		CEL      string `json:"cel,omitempty"`
	}
	// ResolvePayload settles a command whose outcome is unknown.
	ResolvePayload struct {
		Command string     `json:"command"` // its name, or its idempotency key
		Outcome Settlement `json:"outcome"`
		Reason  string     `json:"reason"` // in the person's words
		By      string     `json:"by"`     // the person, by the name that Kubernetes knows
	}
)

// NewIntent returns an intent with its payload in canonical JSON: keys sorted,
// numbers as an API server would write them, no insignificant space.
func NewIntent(t Type, payload any) Intent {
	raw, err := json.Marshal(payload)
	if err != nil { // an argument that is not JSON: keep it as a string, so that validation can refuse it
		raw, _ = json.Marshal(map[string]string{"unreadable": err.Error()})
	}
	return Intent{Type: t, Payload: Canonical(raw)}
}

// Digest returns the hexadecimal SHA-256 of the intent.
func (i Intent) Digest() string {
	h := sha256.New()
	h.Write([]byte(i.Type))
	h.Write([]byte{0})
	h.Write(i.Payload)
	return hex.EncodeToString(h.Sum(nil))
}

// DefaultKey is a command's idempotency key if it names none of its own: the same
// name and intent are the same command, wherever and however often they are applied.
func DefaultKey(name string, i Intent) string { return name + "/" + i.Digest()[:16] }

// IssuedKey is the idempotency key of a command that an ask issued. The ask's own
// key is in it: another ask that decides the same under the same name has issued
// another command.
func IssuedKey(ask, name string, i Intent) string {
	sum := sha256.Sum256([]byte(ask + "\x00" + i.Digest()))
	return name + "/" + hex.EncodeToString(sum[:8])
}

// Canonical returns raw with sorted keys and normal numbers; raw itself if it is not JSON.
func Canonical(raw []byte) json.RawMessage {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return raw
	}
	out, err := marshal(normal(v))
	if err != nil {
		return raw
	}
	return out
}

// marshal writes JSON as Canonical does: json.Marshal would escape <, > and &,
// also within a json.RawMessage, and change its digest.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func normal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = normal(e)
		}
	case []any:
		for i, e := range v {
			v[i] = normal(e)
		}
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
	}
	return v
}

// Order is a command as it arrives at the door: the intent, and how it is to be carried out.
type Order struct {
	Name    string
	Key     string // idempotency key; see DefaultKey
	Intent  Intent
	Timeout time.Duration // of the whole command
	Retry   Retry
	Origin  string // uid of the Kubernetes object that brings it
}

// Retry bounds the attempts at one effect, and at one decision.
type Retry struct {
	MaxAttempts int           `json:"maxAttempts"` // at least 1
	Backoff     time.Duration `json:"backoff"`     // before the second attempt; doubles, at most a minute
}

// After returns how long to wait after the nth failed attempt (from 1); a
// receiver that asks for longer gets it.
func (r Retry) After(n int, asked time.Duration) time.Duration {
	const most = time.Minute
	wait := r.Backoff
	for i := 1; i < n && wait < most; i++ {
		wait *= 2
	}
	return max(min(wait, most), asked)
}

// decode reads a payload that was accepted; what does not fit is left zero.
func decode[T any](raw json.RawMessage) T {
	var v T
	_ = json.Unmarshal(raw, &v) // validated before it was accepted; a zero payload is refused by the rules
	return v
}

// Ask returns the payload of an ask.
func (i Intent) Ask() AskPayload { return decode[AskPayload](i.Payload) }

// SaveMemory returns the payload of a saveMemory.
func (i Intent) SaveMemory() SaveMemoryPayload { return decode[SaveMemoryPayload](i.Payload) }

// ForgetMemory returns the payload of a forgetMemory.
func (i Intent) ForgetMemory() ForgetMemoryPayload { return decode[ForgetMemoryPayload](i.Payload) }

// CallAPI returns the payload of a callAPI.
func (i Intent) CallAPI() CallAPIPayload { return decode[CallAPIPayload](i.Payload) }

// IndexDocuments returns the payload of an indexDocuments.
func (i Intent) IndexDocuments() IndexDocumentsPayload {
	return decode[IndexDocumentsPayload](i.Payload)
}

// RemoveDocuments returns the payload of a removeDocuments.
func (i Intent) RemoveDocuments() RemoveDocumentsPayload {
	return decode[RemoveDocumentsPayload](i.Payload)
}

// Summarize returns the payload of a summarize.
func (i Intent) Summarize() SummarizePayload { return decode[SummarizePayload](i.Payload) }

// Observe returns the payload of an observe.
func (i Intent) Observe() ObservePayload { return decode[ObservePayload](i.Payload) }

// Resolve returns the payload of a resolve.
func (i Intent) Resolve() ResolvePayload { return decode[ResolvePayload](i.Payload) }

// IntentOf returns what a chosen operation wants.
func IntentOf(op Operation, arguments json.RawMessage) Intent {
	if op.Type == CallAPI {
		return NewIntent(CallAPI, CallAPIPayload{Operation: op.Name, Arguments: arguments})
	}
	return NewIntent(op.Type, arguments)
}
