package controller

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
)

// Views resolves ContextView objects into the read side's definitions.
type Views struct {
	client.Reader
	Engine *execution.Engine
}

// Build renders a context for the write side.
func (v *Views) Build(ctx context.Context, r execution.ContextRequest) (agent.Context, error) {
	return agent.Context{}, fault.NewWait(slowly, edictv1.ReasonViewNotFound, "not wired")
}

func (v *Views) render(ctx context.Context, object *edictv1.ContextView) (string, agent.Context, error) {
	return "", agent.Context{}, fault.NewWait(slowly, edictv1.ReasonViewNotFound, "not wired")
}
