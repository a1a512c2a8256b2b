package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/projection"
)

const (
	// bytesPerToken turns the bytes that the projection counts into tokens: when a summary is issued need not be exact.
	bytesPerToken = 4
	// summaryKept is how long the object of a summary stays after it has ended. The journal keeps the summary.
	summaryKept = 24 * time.Hour
	// projectedWithin is how long a look waits for the projection before it is left to the next.
	projectedWithin = time.Second
	// summariesRead is among how many of the newest the one is looked for that covers most.
	summariesRead = 100
	// every reads all rows that there are.
	every = math.MaxInt32
)

// Conversations is what the projection says of an agent's conversations.
type Conversations interface {
	WaitFor(ctx context.Context, stream string, least int64) error
	Moved(ctx context.Context, of projection.Scope, after int64) ([]string, error)
	Amount(ctx context.Context, stream string, asOf int64, conversation string, after int64, newest int) (projection.Amount, error)
	Summaries(ctx context.Context, of projection.Scope, conversation, collection string) ([]projection.Summary, error)
	Messages(ctx context.Context, of projection.Scope, conversation string) ([]projection.Message, error)
}

// Summaries issues the summaries that Agents declare: a Command for a conversation
// that has grown. It keeps nothing that would be missed: after a restart every
// conversation is looked at once, later those in which something happened.
type Summaries struct {
	client.Client
	Conversations Conversations

	mu     sync.Mutex
	looked map[types.NamespacedName]look
}

// look is what was looked at, and how far.
type look struct {
	stream     string
	generation int64
	sequence   int64
}

// ensure creates the Commands that are due for an agent, as of the sequence of its
// status. Tables that are made anew have to catch up first: what they do not hold
// yet may be the summary that is looked for.
func (s *Summaries) ensure(ctx context.Context, a *edictv1.Agent, status *edictv1.AgentStatus) error {
	if a.Spec.Summaries == nil || a.Spec.Suspend || status.Sequence == 0 {
		return nil
	}
	name := client.ObjectKeyFromObject(a)
	now := look{stream: status.Stream, generation: a.Generation, sequence: status.Sequence}
	moved, err := s.moved(ctx, now, s.since(name, now))
	for _, conversation := range moved {
		if failed := s.issue(ctx, a, now, conversation); err == nil {
			err = failed
		}
	}
	if err != nil {
		return fmt.Errorf("look for summaries that are due in %s: %w", now.stream, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looked == nil {
		s.looked = map[types.NamespacedName]look{}
	}
	s.looked[name] = now
	return nil
}

// moved returns the conversations in which something happened after a sequence.
func (s *Summaries) moved(ctx context.Context, now look, after int64) ([]string, error) {
	within, cancel := context.WithTimeout(ctx, projectedWithin)
	defer cancel()
	if err := s.Conversations.WaitFor(within, now.stream, now.sequence); err != nil {
		return nil, err
	}
	return s.Conversations.Moved(ctx, projection.Scope{Stream: now.stream, AsOf: now.sequence, Limit: every}, after)
}

// since returns how far the agent's stream was looked at already, with the same declaration.
func (s *Summaries) since(name types.NamespacedName, now look) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.looked[name]
	if last.stream != now.stream || last.generation != now.generation || last.sequence > now.sequence {
		return 0
	}
	return last.sequence
}

// issue creates the Command that summarises a conversation, if one is due.
func (s *Summaries) issue(ctx context.Context, a *edictv1.Agent, now look, conversation string) error {
	declared := summariesOf(a)
	of := projection.Scope{Stream: now.stream, AsOf: now.sequence, Limit: summariesRead}
	summaries, err := s.Conversations.Summaries(ctx, of, conversation, "")
	if err != nil {
		return err
	}
	last := projection.Furthest(summaries, now.sequence)
	amount, err := s.Conversations.Amount(ctx, now.stream, now.sequence, conversation, last.To, declared.keep)
	due := declared.due(amount)
	if err != nil || due == 0 {
		return err
	}
	of.Limit = declared.keep + 1
	turns, err := s.Conversations.Messages(ctx, of, conversation)
	if err != nil {
		return err
	}
	upTo := before(turns, declared.keep, now.sequence)
	if upTo <= last.To {
		return nil
	}
	return issueOnce(ctx, s.Client, summaryCommand(a, summaryName(now.stream, conversation, last.Sequence, due), conversation, upTo))
}

// issueOnce creates a Command, unless it is there. The cache is asked first, which spares the API server a refusal.
func issueOnce(ctx context.Context, api client.Client, c *edictv1.Command) error {
	err := api.Get(ctx, client.ObjectKeyFromObject(c), &edictv1.Command{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	if err = api.Create(ctx, c); apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// declaredSummaries is when a summary is issued.
type declaredSummaries struct{ turns, tokens, keep int } // 0 turns or tokens: they do not matter

// due returns 0 if no summary is due, and otherwise how many times over the
// declared amount is there: a summary that failed is issued anew each time that
// so much was said again.
func (d declaredSummaries) due(a projection.Amount) int64 {
	return max(over(int64(a.Turns), int64(d.turns)), over(a.Bytes/bytesPerToken, int64(d.tokens)))
}

func over(n, limit int64) int64 {
	if limit == 0 || n <= limit {
		return 0
	}
	return n / limit
}

// before returns the last sequence before the newest turns, of which so many stay
// outside a summary. The question of the oldest of them stays with its answer.
func before(newest []projection.Message, keep int, head int64) int64 {
	if len(newest) > keep && (keep == 0 || newest[keep].Command != newest[keep-1].Command) {
		newest = newest[:keep]
	}
	upTo := head
	for _, m := range newest {
		upTo = min(upTo, m.Sequence-1)
	}
	return upTo
}

// summaryName returns the name of the Command. It follows from what the journal
// holds: whoever looks again, or at the same time, finds the object there.
func summaryName(stream, conversation string, last, due int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%d", stream, conversation, last, due))
	return slug(conversation) + "-summary-" + hex.EncodeToString(sum[:5])
}

// slug returns what is left of a text in a name of Kubernetes.
func slug(text string) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(text)), "-")
	if name == "" {
		return "conversation"
	}
	return name
}

// ownedBy is for a Command that an Agent issues: it goes with the Agent.
func ownedBy(a *edictv1.Agent, name string) metav1.ObjectMeta {
	controller := true
	return metav1.ObjectMeta{
		Namespace: a.Namespace, Name: name,
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: edictv1.GroupVersion.String(), Kind: "Agent", Name: a.Name, UID: a.UID, Controller: &controller,
		}},
	}
}

func summaryCommand(a *edictv1.Agent, name, conversation string, upTo int64) *edictv1.Command {
	kept := int32(summaryKept / time.Second)
	return &edictv1.Command{
		ObjectMeta: ownedBy(a, name),
		Spec: edictv1.CommandSpec{
			AgentRef:  edictv1.AgentReference{Name: a.Name},
			Summarize: &edictv1.SummarizeCommand{Conversation: conversation, UpTo: upTo},
			// Three attempts, and what is between them.
			Timeout:                 &metav1.Duration{Duration: max(5*time.Minute, 5*durationOr(a.Spec.Model.Timeout, time.Minute))},
			TTLSecondsAfterFinished: &kept,
		},
	}
}
