package controller

import (
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

func TestARotatedSecretIsInUseAfterFifteenSeconds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create(secretOf("model-key", "api-key", "old"))
	s := &Secrets{Live: h.api, Now: h.clock.Now}
	want := func(value string) {
		t.Helper()
		if got, err := s.Value(t.Context(), h.ns, agent.SecretKey{Name: "model-key", Key: "api-key"}); err != nil || got != value {
			t.Errorf("got %q (%v), want %q", got, err, value)
		}
	}
	want("old")
	h.merge(h.secret("model-key"), `{"stringData":{"api-key":"new"}}`)
	h.clock.pass(14 * time.Second)
	want("old")
	h.clock.pass(time.Second)
	want("new")
}

func TestASecretThatIsMissingIsSaidToBeAndLookedForAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := &Secrets{Live: h.api, Now: h.clock.Now}
	key := agent.SecretKey{Name: "model-key", Key: "api-key"}
	wants := func(texts ...string) {
		t.Helper()
		_, err := s.Value(t.Context(), h.ns, key)
		f := fault.Of(err)
		if f == nil || f.Kind != fault.Wait || f.Reason != edictv1.ReasonSecretNotFound || f.After <= 0 {
			t.Fatalf("got %v", err)
		}
		for _, text := range texts {
			if !strings.Contains(f.Message, text) {
				t.Errorf("it does not say %q: %s", text, f.Message)
			}
		}
		if strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("the error holds a value: %v", err)
		}
	}
	wants(`no Secret "model-key"`, h.ns, `"api-key"`, "create it")
	h.create(secretOf("model-key", "other", "s3cr3t"))
	wants(`Secret "model-key"`, `has no key "api-key"`)
	// A key that was missing is not remembered to be.
	h.merge(h.secret("model-key"), `{"stringData":{"api-key":"s3cr3t-too"}}`)
	if got, err := s.Value(t.Context(), h.ns, key); err != nil || got != "s3cr3t-too" {
		t.Errorf("got %q, %v", got, err)
	}
	// One that was deleted is gone when it is read again.
	if err := h.api.Delete(t.Context(), h.secret("model-key")); err != nil {
		t.Fatal(err)
	}
	h.clock.pass(secretsFor)
	wants(`no Secret "model-key"`)
}

func TestASecretThatTheOperatorMayNotReadIsSaidToBe(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := &Secrets{Live: h.as(h.account("nobody")), Now: h.clock.Now}
	_, err := s.Value(t.Context(), h.ns, agent.SecretKey{Name: "model-key", Key: "api-key"})
	var status apierrors.APIStatus
	if f := fault.Of(err); f == nil || f.Reason != edictv1.ReasonSecretNotFound || !strings.Contains(f.Message, "may not read") || errors.As(err, &status) {
		t.Errorf("got %v", err)
	}
}
