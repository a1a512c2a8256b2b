package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/edict-dev/edict/internal/controller"
)

// alone runs the write side over a journal with one writer, for as long as this process leads.
func (h *house) alone(ctx context.Context) error {
	if err := h.take(ctx, []int{0}); err != nil {
		return err
	}
	var err error
	select {
	case <-ctx.Done():
	case <-h.lost:
		err = errors.New("another process has claimed the journal; this one can record nothing, and ends")
	}
	h.stop(ctx)
	return err
}

// shared returns what runs the write side over a journal whose shards the replicas share.
func (h *house) shared(f *flags) (func(context.Context) error, error) {
	namespace, err := f.leaseNamespace()
	if err != nil {
		return nil, err
	}
	identity, err := controller.NewIdentity()
	if err != nil {
		return nil, err
	}
	members := &controller.Members{
		Reader: h.mgr.GetAPIReader(), Writer: h.mgr.GetClient(), Namespace: namespace, Identity: identity, Pod: os.Getenv(podVariable),
		Shards: h.shards, Duration: f.memberLease, Take: h.take, Now: time.Now, Log: h.log,
	}
	run := func(ctx context.Context) error {
		members.Run(ctx)
		h.stop(ctx)
		return nil
	}
	return run, h.mgr.AddReadyzCheck("members", func(*http.Request) error { return members.Ready() })
}

// take makes these the shards that this process works for. What is asked for in
// vain is left to the next call; what is gained is looked at from the start.
func (h *house) take(ctx context.Context, shards []int) error {
	gained, err := h.engine.Hold(ctx, shards)
	if held := h.engine.Held(); !slices.Equal(held, h.projected) {
		h.store.Project(held)
		h.projected = held
	}
	if len(gained) > 0 {
		go h.ringers.RingShards(context.WithoutCancel(ctx), gained) // which may take a while
	}
	return err
}

// stop lets calls under way finish, and be recorded, for a while.
func (h *house) stop(ctx context.Context) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	h.engine.Stop(within)
}

// podVariable holds the name of the pod that this process runs in.
const podVariable = "POD_NAME"

// podNamespace is where Kubernetes tells a pod its namespace.
const podNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// leaseNamespace returns the namespace of the replicas' Leases.
func (f *flags) leaseNamespace() (string, error) {
	if f.leaderNamespace != "" {
		return f.leaderNamespace, nil
	}
	own, err := os.ReadFile(podNamespace)
	if err != nil {
		return "", fmt.Errorf("--leader-election-namespace: this process runs in no pod, so name the namespace of the replicas' Leases: %w", err)
	}
	return strings.TrimSpace(string(own)), nil
}
