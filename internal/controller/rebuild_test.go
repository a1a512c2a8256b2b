package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/projection"
)

// rebuilder is a store whose rebuilds come to what a test says.
type rebuilder struct {
	mu      sync.Mutex
	streams []string // that were rebuilt, in order
	ends    func(ctx context.Context, stream string) (projection.Rebuild, error)
}

func (r *rebuilder) Rebuild(ctx context.Context, stream string) (projection.Rebuild, error) {
	r.mu.Lock()
	r.streams = append(r.streams, stream)
	r.mu.Unlock()
	return r.ends(ctx, stream)
}

func (r *rebuilder) times() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.streams)
}

// rebuilds lets the views' rebuilds come to what the store says, and returns what they forget and ring.
func (h *house) rebuilds(store *rebuilder) (rung chan types.NamespacedName, forgotten *[]string) {
	h.Helper()
	rung, forgotten = make(chan types.NamespacedName, 10), &[]string{}
	h.views.Rebuilds = NewRebuilds(store, func(streams ...string) { *forgotten = append(*forgotten, streams...) }, func(a types.NamespacedName) { rung <- a })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	rebuilds := h.views.Rebuilds
	go func() {
		defer close(ended)
		_ = rebuilds.Start(ctx) // it returns nil
	}()
	h.Cleanup(func() {
		cancel()
		<-ended
	})
	return rung, forgotten
}

func (h *house) ask(token string) {
	h.Helper()
	h.merge(h.view("concierge"), fmt.Sprintf(`{"spec":{"rebuild":%q}}`, token))
}

// heard is a recorder of hints that keeps them.
type heard struct {
	mu  sync.Mutex
	all []string
}

func (r *heard) Eventf(_, _ runtime.Object, kind, reason, action, note string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if action == "Rebuild" {
		r.all = append(r.all, kind+" "+reason+" "+fmt.Sprintf(note, args...))
	}
}

func (h *house) wantRebuilt(want edictv1.RebuildStatus) {
	h.Helper()
	got := h.view("concierge").Status.Rebuild
	if got == nil {
		h.Fatal("the status says nothing of a rebuild")
	}
	if (got.CompletionTime == nil) != (want.State == edictv1.RebuildRunning) {
		h.Errorf("completed at %v", got.CompletionTime)
	}
	got.CompletionTime = nil
	if *got != want {
		h.Errorf("status.rebuild is %+v, want %+v", *got, want)
	}
}

var replaced = projection.Rebuild{Sequence: 9, Digest: "new", Previous: "old", Differences: []projection.Difference{{Table: "memories", Rows: 2}, {Table: "chunks", Rows: 1}}}

func TestATokenHasAStreamRebuiltOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	release := make(chan struct{})
	store := &rebuilder{ends: func(context.Context, string) (projection.Rebuild, error) {
		<-release
		return replaced, nil
	}}
	rung, forgotten := h.rebuilds(store)
	hints := &heard{}
	h.views.Recorder = hints
	h.hire(concierge())
	h.create(viewOf("concierge", "concierge"))
	h.must(h.lookAtView("concierge"))
	if h.view("concierge").Status.Rebuild != nil || store.times() > 0 {
		t.Error("nobody asked for a rebuild")
	}

	h.ask("after-the-restore")
	for range 2 { // and the worker waits for nothing
		h.must(h.lookAtView("concierge"))
		h.wantRebuilt(edictv1.RebuildStatus{Token: "after-the-restore", State: edictv1.RebuildRunning})
	}
	v := h.view("concierge")
	wantCondition(t, v.Status.Conditions, edictv1.ConditionRebuilt, metav1.ConditionUnknown, edictv1.ReasonRebuilding)
	wantCondition(t, v.Status.Conditions, edictv1.ConditionReady, metav1.ConditionTrue, edictv1.ReasonReady)

	close(release)
	if got := <-rung; got != (types.NamespacedName{Namespace: h.ns, Name: "concierge"}) {
		t.Errorf("it rang for %s", got)
	}
	if len(*forgotten) != 1 || (*forgotten)[0] != h.ns+"/concierge" {
		t.Errorf("it let go of %q", *forgotten)
	}
	h.clock.pass(1)
	for range 2 {
		h.must(h.lookAtView("concierge"))
		h.wantRebuilt(edictv1.RebuildStatus{Token: "after-the-restore", State: edictv1.RebuildDone, Sequence: 9, Digest: "new", PreviousDigest: "old", Changed: true})
	}
	wantCondition(t, h.view("concierge").Status.Conditions, edictv1.ConditionRebuilt, metav1.ConditionTrue, edictv1.ReasonRowsReplaced, "2 rows of memories, 1 row of chunks")
	if store.times() != 1 || len(hints.all) != 1 || !strings.HasPrefix(hints.all[0], "Warning RowsReplaced 2 rows of memories") {
		t.Errorf("it ran %d times, and says %q", store.times(), hints.all)
	}

	h.merge(h.view("concierge"), `{"metadata":{"annotations":{"edict.dev/rebuild":"by-annotation"}}}`)
	h.must(h.lookAtView("concierge"))
	if store.times() != 1 {
		t.Error("the annotation counted beside spec.rebuild")
	}
	store.ends = func(context.Context, string) (projection.Rebuild, error) {
		return projection.Rebuild{Sequence: 9, Digest: "new", Previous: "new"}, nil
	}
	h.ask("")
	h.must(h.lookAtView("concierge"))
	<-rung
	h.must(h.lookAtView("concierge"))
	h.wantRebuilt(edictv1.RebuildStatus{Token: "by-annotation", State: edictv1.RebuildDone, Sequence: 9, Digest: "new", PreviousDigest: "new"})
	wantCondition(t, h.view("concierge").Status.Conditions, edictv1.ConditionRebuilt, metav1.ConditionTrue, edictv1.ReasonRowsUnchanged)
	if len(*forgotten) != 1 || len(hints.all) != 2 || !strings.HasPrefix(hints.all[1], "Normal RowsUnchanged") {
		t.Errorf("it let go of %q, and says %q", *forgotten, hints.all)
	}
}

func TestARebuildThatAProcessDidNotEndIsAskedForAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	never := &rebuilder{ends: func(ctx context.Context, _ string) (projection.Rebuild, error) {
		<-ctx.Done()
		return projection.Rebuild{}, ctx.Err()
	}}
	h.rebuilds(never)
	h.hire(concierge())
	h.create(viewOf("concierge", "concierge"))
	h.ask("one")
	h.must(h.lookAtView("concierge"))

	store := &rebuilder{ends: func(context.Context, string) (projection.Rebuild, error) { return replaced, nil }}
	rung, _ := h.rebuilds(store) // those of the next process
	h.must(h.lookAtView("concierge"))
	<-rung
	h.must(h.lookAtView("concierge"))
	if state := h.view("concierge").Status.Rebuild.State; state != edictv1.RebuildDone || store.times() != 1 {
		t.Errorf("it is %s after %d times", state, store.times())
	}
}

func TestARebuildThatFailsIsTriedAgainUnlessItCannotSucceed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	store := &rebuilder{ends: func(context.Context, string) (projection.Rebuild, error) {
		return projection.Rebuild{}, errors.New("disk full")
	}}
	rung, _ := h.rebuilds(store)
	h.hire(concierge())
	h.create(viewOf("concierge", "concierge"))
	h.ask("one")
	h.must(h.lookAtView("concierge"))
	<-rung
	if _, err := h.lookAtView("concierge"); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("the queue hears %v, and would not try again", err)
	}
	h.wantRebuilt(edictv1.RebuildStatus{Token: "one", State: edictv1.RebuildRunning})
	v := h.view("concierge")
	wantCondition(t, v.Status.Conditions, edictv1.ConditionRebuilt, metav1.ConditionUnknown, edictv1.ReasonUnexpected)
	wantCondition(t, v.Status.Conditions, edictv1.ConditionReady, metav1.ConditionTrue, edictv1.ReasonReady)

	store.ends = func(context.Context, string) (projection.Rebuild, error) {
		return projection.Rebuild{}, fault.NewCorrupt(edictv1.ReasonUnreadableEvent, errors.New("unknown"), "Event MoodChanged.v1 cannot be read.")
	}
	h.must(h.lookAtView("concierge"))
	<-rung
	for range 2 {
		h.must(h.lookAtView("concierge"))
	}
	h.wantRebuilt(edictv1.RebuildStatus{Token: "one", State: edictv1.RebuildFailed})
	wantCondition(t, h.view("concierge").Status.Conditions, edictv1.ConditionRebuilt, metav1.ConditionFalse, edictv1.ReasonUnreadableEvent, "MoodChanged.v1")
	if store.times() != 2 {
		t.Errorf("it ran %d times", store.times())
	}
}

// A status that could not be written does not cost a second rebuild, nor what the first one found.
func TestWhatARebuildFoundSurvivesALostStatus(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	store := &rebuilder{ends: func(context.Context, string) (projection.Rebuild, error) { return replaced, nil }}
	rung, _ := h.rebuilds(store)
	h.hire(concierge())
	h.create(viewOf("concierge", "concierge"))
	h.ask("one")
	h.must(h.lookAtView("concierge"))
	<-rung
	h.disk.reset()
	h.disk.failAt = 1
	if _, err := h.lookAtView("concierge"); err == nil {
		t.Fatal("the write did not fail")
	}
	h.disk.reset()
	h.must(h.lookAtView("concierge"))
	h.wantRebuilt(edictv1.RebuildStatus{Token: "one", State: edictv1.RebuildDone, Sequence: 9, Digest: "new", PreviousDigest: "old", Changed: true})
	if store.times() != 1 {
		t.Errorf("it ran %d times", store.times())
	}
}

// Views are rebuilt one after the other.
func TestOneRebuildRunsAtATime(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var mu sync.Mutex
	at, most := 0, 0
	both := make(chan struct{})
	store := &rebuilder{ends: func(context.Context, string) (projection.Rebuild, error) {
		mu.Lock()
		at++
		most = max(most, at)
		mu.Unlock()
		<-both
		mu.Lock()
		defer mu.Unlock()
		at--
		return projection.Rebuild{}, nil
	}}
	rung, _ := h.rebuilds(store)
	h.hire(concierge())
	for _, name := range []string{"concierge", "second"} {
		v := viewOf(name, "concierge")
		v.Spec.Rebuild = "one"
		h.create(v)
		h.must(h.lookAtView(name))
	}
	close(both)
	<-rung
	<-rung
	if most != 1 || store.times() != 2 {
		t.Errorf("%d ran at the same time, of %d", most, store.times())
	}
}
