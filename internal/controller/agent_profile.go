package controller

import (
	"encoding/json"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/policy"
)

// profileOf returns the agent as the write side knows it.
func profileOf(a *edictv1.Agent) agent.Profile {
	p := agent.Profile{
		Namespace: a.Namespace, Name: a.Name, Instructions: a.Spec.Instructions, Model: modelOf(&a.Spec.Model),
		MaxSteps: orDefault(int(a.Spec.Limits.MaxSteps), 8), MaxCommands: orDefault(int(a.Spec.Limits.MaxCommands), 8),
		Suspended: a.Spec.Suspend, ServiceAccount: a.Spec.ServiceAccountName,
	}
	p.Embeddings = embeddingsOf(a.Spec.Embeddings)
	for _, view := range a.Spec.ContextViews {
		p.Views = append(p.Views, view.Name)
	}
	for i := range a.Spec.Operations {
		p.Operations = append(p.Operations, operationOf(&a.Spec.Operations[i]))
	}
	return p
}

func modelOf(m *edictv1.Model) agent.Model {
	out := agent.Model{BaseURL: m.BaseURL, Name: m.Name, Mode: agent.DecisionMode(m.DecisionMode), Timeout: durationOr(m.Timeout, time.Minute)}
	if out.Mode == "" {
		out.Mode = agent.ModeJSONSchema
	}
	if m.APIKeySecretRef != nil {
		out.APIKey = &agent.SecretKey{Name: m.APIKeySecretRef.Name, Key: m.APIKeySecretRef.Key}
	}
	if m.Temperature != nil {
		if t, err := strconv.ParseFloat(*m.Temperature, 64); err == nil { // the API server holds it to a decimal
			out.Temperature = &t
		}
	}
	if m.MaxOutputTokens != nil {
		out.MaxOutputTokens = int(*m.MaxOutputTokens)
	}
	return out
}

// embeddingsOf returns how texts are embedded, nil if they are not.
func embeddingsOf(e *edictv1.AgentEmbeddings) *agent.Embeddings {
	if e == nil {
		return nil
	}
	out := &agent.Embeddings{BaseURL: e.BaseURL, Model: e.Model, Timeout: durationOr(e.Timeout, 10*time.Second)}
	if e.Dimensions != nil {
		out.Dimensions = int(*e.Dimensions)
	}
	if e.APIKeySecretRef != nil {
		out.APIKey = &agent.SecretKey{Name: e.APIKeySecretRef.Name, Key: e.APIKeySecretRef.Key}
	}
	return out
}

func operationOf(o *edictv1.Operation) agent.Operation {
	op := agent.Operation{Name: o.Name, Description: o.Description, Effect: agent.Internal}
	switch o.Type {
	case edictv1.OperationSaveMemory:
		op.Type = agent.SaveMemory
	case edictv1.OperationForgetMemory:
		op.Type = agent.ForgetMemory
	case edictv1.OperationCallAPI:
		op.Type = agent.CallAPI
	}
	if o.Parameters != nil {
		op.Parameters = json.RawMessage(o.Parameters.Raw)
	}
	if o.CallAPI == nil {
		return op
	}
	op.Effect = agent.EffectClass(o.Effect)
	if o.Effect == "" {
		op.Effect = policy.DefaultEffect(o.CallAPI.Method)
	}
	op.Call = &agent.Call{Method: o.CallAPI.Method, URL: o.CallAPI.URL, Timeout: durationOr(o.CallAPI.Timeout, 30*time.Second)}
	for _, h := range o.CallAPI.HeadersFrom {
		op.Call.Headers = append(op.Call.Headers, agent.Header{Name: h.Name, Value: agent.SecretKey{Name: h.SecretKeyRef.Name, Key: h.SecretKeyRef.Key}})
	}
	return op
}

// summariesOf returns when the agent's summaries are issued.
func summariesOf(a *edictv1.Agent) declaredSummaries {
	d := declaredSummaries{keep: 10}
	s := a.Spec.Summaries
	if s == nil {
		return d
	}
	if s.AfterTurns != nil {
		d.turns = int(*s.AfterTurns)
	}
	if s.AfterTokens != nil {
		d.tokens = int(*s.AfterTokens)
	}
	if s.KeepTurns != nil {
		d.keep = int(*s.KeepTurns)
	}
	return d
}

func durationOr(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}
