package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/process"
)

// TestBadAPI calls APIs that misbehave, each in its own way, and looks at what is told and at how often they were
// called: what may have happened and must not be repeated is never repeated.
func TestBadAPI(t *testing.T) {
	t.Parallel()
	op := theSuite(t).sharedOperator(t)
	failed := func(reason, says string) verdict { return verdict{edictv1.CommandFailed, reason, says} }
	unknown := func(reason string) verdict {
		return verdict{edictv1.CommandOutcomeUnknown, reason, "Look at the receiver"}
	}
	succeeded := verdict{phase: edictv1.CommandSucceeded}
	const once, again = edictv1.EffectNonIdempotent, edictv1.EffectIdempotent
	for _, c := range []struct {
		name, method, path string
		effect             edictv1.Effect
		want               verdict
		calls              int
	}{
		{"bad-request", http.MethodPost, "/status/400", once, failed("APIRejected", "Correct the arguments"), 1},
		{"no-token", http.MethodPost, "/status/401", once, failed("APIRejected", "headersFrom"), 1},
		{"forbidden", http.MethodGet, "/status/403", again, failed("APIRejected", "headersFrom"), 1},
		{"not-found", http.MethodGet, "/status/404", again, failed("APIRejected", "callAPI of the operation"), 1},
		{"conflict", http.MethodPost, "/status/409", again, failed("APIRejected", "under another name"), 1},
		{"busy-once", http.MethodPost, "/status/429?times=1&retryAfter=1", once, succeeded, 2},
		{"busy", http.MethodPost, "/status/429", once, failed("APIBusy", "It was attempted 2 times"), 2},
		{"fails-once", http.MethodPost, "/status/500?times=1", again, succeeded, 2},
		{"fails", http.MethodPost, "/status/503", again, failed("APIFailed", "It was attempted 2 times"), 2},
		{"fails-who-knows", http.MethodPost, "/status/500", once, unknown("APIFailed"), 1},
		{"unavailable-who-knows", http.MethodPost, "/status/503?retryAfter=1", once, unknown("APIFailed"), 1},
		{"redirect", http.MethodGet, "/redirect", again, failed("Redirected", "Put the final URL into spec.operations[].callAPI.url"), 1},
		{"redirect-who-knows", http.MethodPost, "/redirect", once, unknown("Redirected"), 1},
		{"big", http.MethodPost, "/big?bytes=52428800", once, succeeded, 1},
		{"big-get", http.MethodGet, "/big?bytes=52428800", again, succeeded, 1},
		{"hangs", http.MethodGet, "/hang", again, failed("APITimeout", "It was attempted 2 times"), 2},
		{"hangs-who-knows", http.MethodPost, "/hang", once, unknown("APITimeout"), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, op)
			api := newTravel(t, false)
			operation := call("use", c.method, api.url+c.path, c.effect)
			operation.CallAPI.Timeout = duration(time.Second)
			if strings.HasPrefix(c.path, "/big") {
				operation.CallAPI.Timeout = duration(20 * time.Second)
			}
			w.create(newAgent("concierge", "http://127.0.0.1:1/v1", operation))
			w.ready("concierge")
			w.create(newCallAPI("call", "concierge", "use", map[string]any{}))
			w.ends("call", c.want)
			if n := api.calls(); n != c.calls {
				t.Errorf("the API was called %d times, want %d", n, c.calls)
			}
			if result := w.storyOf("call").Command().Result; len(result) > 64<<10 {
				t.Errorf("%d bytes of the answer are kept", len(result))
			}
		})
	}
}

// TestUnreachableAPI names APIs that nobody can or may reach: nothing was sent, so that is no unknown outcome.
func TestUnreachableAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t, theSuite(t).sharedOperator(t))
	closed, err := process.FreeAddresses(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	w.create(newAgent("concierge", "http://127.0.0.1:1/v1",
		call("nobody", http.MethodPost, "http://"+closed[0]+"/", edictv1.EffectNonIdempotent),
		call("metadata", http.MethodPost, "http://169.254.169.254/latest/meta-data", edictv1.EffectNonIdempotent)))
	w.create(newCallAPI("call-nobody", "concierge", "nobody", nil), newCallAPI("call-metadata", "concierge", "metadata", nil))
	w.ends("call-nobody", verdict{edictv1.CommandFailed, "APIUnreachable", "It was attempted 2 times"})
	w.ends("call-metadata", verdict{edictv1.CommandFailed, "AddressDenied", ""})
}
