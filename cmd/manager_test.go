package main

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
)

var _ = Describe("the manager", func() {
	var ns string
	BeforeEach(func(ctx SpecContext) { ns = newNamespace(ctx) })

	create := func(ctx context.Context, objects ...client.Object) {
		GinkgoHelper()
		for _, o := range objects {
			o.SetNamespace(ns)
			Expect(api.Create(ctx, o)).To(Succeed())
		}
	}
	get := func(ctx context.Context, name string, into client.Object) error {
		return api.Get(ctx, types.NamespacedName{Namespace: ns, Name: name}, into)
	}
	// ended waits until a command has succeeded, and returns it.
	ended := func(ctx context.Context, name string) *edictv1.Command {
		GinkgoHelper()
		var c edictv1.Command
		Eventually(func(g Gomega) {
			g.Expect(get(ctx, name, &c)).To(Succeed())
			g.Expect(c.Status.Phase).To(Equal(edictv1.CommandSucceeded), "%+v", c.Status.Conditions)
		}).Should(Succeed())
		return &c
	}
	// says waits until a command's Ready has that reason.
	says := func(ctx context.Context, name, reason string) {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			var c edictv1.Command
			g.Expect(get(ctx, name, &c)).To(Succeed())
			g.Expect(reasonOf(&c)).To(Equal(reason))
		}).Should(Succeed())
	}

	It("answers an ask that needs a tool, and tells of each end once", func(ctx SpecContext) {
		create(ctx, concierge(), conciergeView())
		create(ctx, ask("trip", "ada", "Book ED101 for Ada"))
		trip, booking := ended(ctx, "trip"), ended(ctx, "trip-1-0")
		Expect(trip.Status.Response).To(HavePrefix("Booked as B"))
		Expect(trip.Status.Issued).To(Equal([]string{"trip-1-0"}))
		Expect(trip.Status.Tokens).To(BeNumerically(">", 0))
		Expect(booking.OwnerReferences).To(HaveLen(1))
		Expect(booking.OwnerReferences[0].UID).To(Equal(trip.UID))
		Expect(travel.Stats().BookingsByKey).To(HaveKeyWithValue(booking.Status.IdempotencyKey, 1))
		Expect(notes(ctx, ns)).To(ConsistOf("trip Succeeded", "trip-1-0 Succeeded"))
		Eventually(func(g Gomega) {
			var a edictv1.Agent
			g.Expect(get(ctx, "concierge", &a)).To(Succeed())
			g.Expect(meta.IsStatusConditionTrue(a.Status.Conditions, edictv1.ConditionReady)).To(BeTrue())
			g.Expect(a.Status.OpenCommands).To(BeZero())
			g.Expect(a.Status.TokensToday).To(Equal(trip.Status.Tokens))
			g.Expect(a.Status.LastDecisionTime).NotTo(BeNil())
		}).Should(Succeed())
	})

	It("runs asks of several conversations at the same time", func(ctx SpecContext) {
		const conversations = 5
		together.of(conversations)
		create(ctx, concierge())
		for i := range conversations {
			create(ctx, ask(fmt.Sprintf("ask-%d", i), fmt.Sprintf("person-%d", i), "Together"))
		}
		for i := range conversations {
			Expect(ended(ctx, fmt.Sprintf("ask-%d", i)).Status.Response).To(Equal("We met."))
		}
	})

	It("runs asks of one conversation one at a time, in the order in which they were accepted", func(ctx SpecContext) {
		create(ctx, concierge())
		const asks = 6
		for i := range asks {
			create(ctx, ask(fmt.Sprintf("ask-%d", i), "ada", fmt.Sprintf("In turn, %d", i)))
		}
		for i := range asks {
			ended(ctx, fmt.Sprintf("ask-%d", i))
		}
		questions, most := inTurn.taken()
		Expect(most).To(Equal(1))
		Expect(questions).To(HaveLen(asks))
		Expect(questions).To(Equal(received(ctx, ns+"/concierge")))
	})

	It("lets a view's status and its ConfigMap follow the journal, and an ask know what was remembered", func(ctx SpecContext) {
		a, v := concierge(), conciergeView()
		a.Spec.ContextViews = []edictv1.ContextViewReference{{Name: v.Name}}
		create(ctx, a, v)
		seat := &edictv1.Command{Spec: edictv1.CommandSpec{SaveMemory: &edictv1.SaveMemoryCommand{Kind: "preference", Content: "Ada wants window seats."}}}
		seat.Name, seat.Spec.AgentRef.Name = "seat", "concierge"
		create(ctx, seat)
		sequence := ended(ctx, "seat").Status.Sequence
		Eventually(func(g Gomega) {
			var v edictv1.ContextView
			var out corev1.ConfigMap
			g.Expect(get(ctx, "concierge", &v)).To(Succeed())
			g.Expect(v.Status.Sequence).To(BeNumerically(">=", sequence))
			g.Expect(meta.IsStatusConditionTrue(v.Status.Conditions, edictv1.ConditionCurrent)).To(BeTrue())
			g.Expect(get(ctx, "concierge-context", &out)).To(Succeed())
			g.Expect(out.Data["context.md"]).To(ContainSubstring("window seats"))
			g.Expect(out.Annotations).To(HaveKeyWithValue("edict.dev/digest", v.Status.Digest))
		}).Should(Succeed())
		create(ctx, ask("which", "ada", "Which seat shall I take?"))
		Expect(ended(ctx, "which").Status.Response).To(Equal("A window seat."))
	})

	It("lets commands that were there before their agent go on when it comes", func(ctx SpecContext) {
		create(ctx, ask("early", "ada", "Hello?"))
		says(ctx, "early", edictv1.ReasonAgentNotFound)
		create(ctx, concierge())
		Expect(ended(ctx, "early").Status.Response).To(Equal("Hello."))
	})

	It("lets asks that miss a view go on when it comes", func(ctx SpecContext) {
		a := concierge()
		a.Spec.ContextViews = []edictv1.ContextViewReference{{Name: "concierge"}}
		create(ctx, a, ask("blind", "ada", "Hello?"))
		says(ctx, "blind", edictv1.ReasonViewNotFound)
		create(ctx, conciergeView())
		Expect(ended(ctx, "blind").Status.Response).To(Equal("Hello."))
		Eventually(func(g Gomega) {
			var a edictv1.Agent
			g.Expect(get(ctx, "concierge", &a)).To(Succeed())
			g.Expect(meta.IsStatusConditionTrue(a.Status.Conditions, edictv1.ConditionRefsResolved)).To(BeTrue())
		}).Should(Succeed())
	})

	It("lets what waits for a suspended agent go on when it is resumed", func(ctx SpecContext) {
		a := concierge()
		a.Spec.Suspend = true
		create(ctx, a, ask("later", "ada", "Hello?"))
		says(ctx, "later", edictv1.ReasonAgentSuspended)
		Expect(api.Patch(ctx, a, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":false}}`)))).To(Succeed())
		Expect(ended(ctx, "later").Status.Response).To(Equal("Hello."))
	})

	It("closes the stream of a deleted agent, and begins another for the next of its name", func(ctx SpecContext) {
		a := concierge()
		create(ctx, a, ask("first", "ada", "Hello?"))
		ended(ctx, "first")
		Expect(api.Delete(ctx, a)).To(Succeed())
		Eventually(func() bool { return apierrors.IsNotFound(get(ctx, "concierge", &edictv1.Agent{})) }).Should(BeTrue())
		create(ctx, concierge(), ask("second", "ada", "Hello?"))
		Expect(ended(ctx, "second").Status.Stream).To(Equal(agent.StreamName(ns, "concierge", 2)))
	})
})

func reasonOf(c *edictv1.Command) string {
	ready := meta.FindStatusCondition(c.Status.Conditions, edictv1.ConditionReady)
	if ready == nil {
		return ""
	}
	return ready.Reason
}

// notes returns the Kubernetes Events that tell of commands, as "name reason".
func notes(ctx context.Context, ns string) []string {
	GinkgoHelper()
	var list eventsv1.EventList
	Expect(api.List(ctx, &list, client.InNamespace(ns))).To(Succeed())
	var notes []string
	for _, e := range list.Items {
		if e.Regarding.Kind == "Command" {
			notes = append(notes, e.Regarding.Name+" "+e.Reason)
		}
	}
	return notes
}

// received returns the messages of a stream, in the order of the journal.
func received(ctx context.Context, stream string) []string {
	GinkgoHelper()
	records, err := theJournal.ReadStream(ctx, stream, 1, 1000)
	Expect(err).NotTo(HaveOccurred())
	var messages []string
	for _, r := range records {
		event, err := agent.Decode(agent.Stored(r.Event))
		Expect(err).NotTo(HaveOccurred())
		if m, ok := event.(agent.MessageReceived); ok {
			messages = append(messages, m.Text)
		}
	}
	return messages
}

func concierge() *edictv1.Agent {
	a := &edictv1.Agent{Spec: edictv1.AgentSpec{
		Instructions: "You help people travel.",
		Model:        edictv1.Model{BaseURL: modelURL, Name: "scripted"},
		Operations: []edictv1.Operation{{
			Name: "book_flight", Type: edictv1.OperationCallAPI, Description: "Book a seat.", Effect: edictv1.EffectIdempotent,
			Parameters: &apiextensionsv1.JSON{Raw: []byte(`{"type":"object","required":["flight","passenger"],"additionalProperties":false,
				"properties":{"flight":{"type":"string"},"passenger":{"type":"string"}}}`)},
			CallAPI: &edictv1.CallAPIOperation{Method: "POST", URL: travelURL + "/bookings"},
		}},
	}}
	a.Name = "concierge"
	return a
}

func conciergeView() *edictv1.ContextView {
	v := &edictv1.ContextView{Spec: edictv1.ContextViewSpec{
		AgentRef: edictv1.AgentReference{Name: "concierge"},
		Blocks: []edictv1.Block{
			{Name: "profile", Memories: &edictv1.MemoriesBlock{Kinds: []string{"preference"}}},
			{Name: "history", Conversation: &edictv1.ConversationBlock{}},
		},
		Output: &edictv1.ContextOutput{ConfigMap: &edictv1.ConfigMapOutput{Name: "concierge-context"}},
	}}
	v.Name = "concierge"
	return v
}

func ask(name, conversation, message string) *edictv1.Command {
	c := &edictv1.Command{Spec: edictv1.CommandSpec{Ask: &edictv1.AskCommand{Conversation: conversation, Message: message}}}
	c.Name, c.Spec.AgentRef.Name = name, "concierge"
	return c
}
