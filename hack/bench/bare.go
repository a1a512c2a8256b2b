package main

import (
	"context"
	"fmt"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
)

// sample is what the operator wrote for one command of a scenario.
type sample struct {
	status edictv1.CommandStatus
	event  eventsv1.Event
}

// sampleOf reads what the operator wrote about a command that has ended.
func sampleOf(ctx context.Context, c client.Client, command *edictv1.Command) (sample, error) {
	var list eventsv1.EventList
	if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return sample{}, err
	}
	for _, event := range list.Items {
		if event.Regarding.UID == command.UID {
			return sample{status: command.Status, event: event}, nil
		}
	}
	return sample{}, fmt.Errorf("command %s ended, and no Kubernetes Event tells of it", command.Name)
}

// bare is the ceiling: a client of the kind that the operator uses too, without its cache, that makes the three writes
// of a command and nothing else.
type bare struct {
	client   client.Client
	scenario scenario
	sample   sample
}

func newBare(config *rest.Config, like client.Client, s scenario, shape sample) (*bare, error) {
	c, err := client.New(config, client.Options{Scheme: like.Scheme(), Mapper: like.RESTMapper()})
	return &bare{client: c, scenario: s, sample: shape}, err
}

// write creates a Command, gives it a final status, and tells of it in a Kubernetes Event.
func (b *bare) write(ctx context.Context, name string) (time.Duration, error) {
	began := time.Now()
	c := b.scenario.command(name)
	if err := b.client.Create(ctx, c); err != nil {
		return 0, fmt.Errorf("create command %s: %w", name, err)
	}
	b.sample.status.DeepCopyInto(&c.Status)
	if err := b.client.Status().Update(ctx, c); err != nil {
		return 0, fmt.Errorf("update status of command %s: %w", name, err)
	}
	if err := b.client.Create(ctx, b.event(c)); err != nil {
		return 0, fmt.Errorf("create event of command %s: %w", name, err)
	}
	return time.Since(began), nil
}

func (b *bare) event(c *edictv1.Command) *eventsv1.Event {
	event := b.sample.event.DeepCopy()
	event.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: c.Name + ".0123456789abcdef"} // as long as the operator's
	event.Regarding.Name, event.Regarding.UID, event.Regarding.ResourceVersion = c.Name, c.UID, c.ResourceVersion
	return event
}
