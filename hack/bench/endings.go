package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
)

// endings tells who waits for a Command that it has ended, as one watch shows it.
type endings struct {
	mu      sync.Mutex
	waiting map[string]chan ending
	err     error // why the watch is over

	over chan struct{} // closed when the watch is over
}

// ending is a Command with its final status, and when the watch showed it.
type ending struct {
	command *edictv1.Command
	at      time.Time
}

// watchEndings watches until ctx ends. The API server sends only Commands whose phase is a final one, so that watching
// costs it and us one message a command.
func watchEndings(ctx context.Context, c client.WithWatch) (*endings, error) {
	unfinished := []fields.Selector{}
	for _, phase := range []edictv1.CommandPhase{"", edictv1.CommandPending, edictv1.CommandRunning} {
		unfinished = append(unfinished, fields.OneTermNotEqualSelector("status.phase", string(phase)))
	}
	selector := client.MatchingFieldsSelector{Selector: fields.AndSelectors(unfinished...)}
	w, err := c.Watch(ctx, &edictv1.CommandList{}, client.InNamespace(namespace), selector)
	if err != nil {
		return nil, fmt.Errorf("watch commands: %w", err)
	}
	e := &endings{waiting: map[string]chan ending{}, over: make(chan struct{})}
	go e.follow(ctx, w)
	return e, nil
}

func (e *endings) follow(ctx context.Context, w watch.Interface) {
	defer close(e.over)
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			e.fail(context.Cause(ctx))
			return
		case event, open := <-w.ResultChan():
			command, ok := event.Object.(*edictv1.Command)
			switch {
			case !open:
				e.fail(firstOf(context.Cause(ctx), fmt.Errorf("the watch of commands broke off")))
				return
			case !ok:
				e.fail(fmt.Errorf("the watch of commands broke off: %v", event.Object))
				return
			case event.Type != watch.Deleted:
				e.tell(command)
			}
		}
	}
}

func (e *endings) tell(c *edictv1.Command) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if waiting := e.waiting[c.Name]; waiting != nil {
		waiting <- ending{command: c, at: now} // it has room for one, and gets one
		delete(e.waiting, c.Name)
	}
}

func (e *endings) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

// failure returns why the watch is over, nil while it is not.
func (e *endings) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// expect has to be called before the Command is created.
func (e *endings) expect(name string) <-chan ending {
	e.mu.Lock()
	defer e.mu.Unlock()
	waiting := make(chan ending, 1)
	e.waiting[name] = waiting
	return waiting
}

// wait returns the ending that was expected, or an error if the Command did not succeed.
func (e *endings) wait(ctx context.Context, name string, expected <-chan ending) (ending, error) {
	select {
	case end := <-expected:
		if !isTrue(end.command.Status.Conditions, edictv1.ConditionComplete) {
			return end, fmt.Errorf("command %s ended as %s (%s)", name, end.command.Status.Phase, said(end.command.Status.Conditions))
		}
		return end, nil
	case <-e.over:
		return ending{}, e.failure()
	case <-ctx.Done():
		return ending{}, fmt.Errorf("wait for command %s: %w", name, context.Cause(ctx))
	}
}
