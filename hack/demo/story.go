package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// setUp installs Edict and the agent.
func setUp(ctx context.Context, s *stage) error {
	title("Install Edict, and an agent")
	if err := s.type_(ctx, "apply", "-k", "config/default"); err != nil {
		return err
	}
	if err := s.quietly(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
		return err
	}
	say("There are no nodes here to run the Deployment on, so the operator runs as a process, with the Deployment's service account.")
	if err := s.startOperator(ctx); err != nil {
		return err
	}
	if err := s.applyAgent(ctx); err != nil {
		return err
	}
	if err := s.quietly(ctx, "wait", "-n", namespace, "--for=condition=Ready", "agt/concierge", "--timeout=60s"); err != nil {
		return err
	}
	return s.type_(ctx, "get", "agt,cv", "-n", namespace)
}

// applyAgent applies the samples; with a real model in the environment, the agent names that.
func (s *stage) applyAgent(ctx context.Context) error {
	if s.model != nil {
		return s.type_(ctx, "apply", "-k", "config/samples")
	}
	out, err := s.cluster.Kubectl(ctx, "kustomize", "config/samples")
	if err != nil {
		return err
	}
	out = strings.NewReplacer("http://127.0.0.1:8090/v1", os.Getenv("EDICT_MODEL_BASE_URL"),
		"gpt-5-mini", os.Getenv("EDICT_MODEL_NAME")).Replace(out)
	if _, err := s.cluster.KubectlStdin(ctx, out, "apply", "-f", "-"); err != nil {
		return err
	}
	// The key goes from the environment into the Secret, and is printed nowhere.
	secret := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: model-key, namespace: %s}\nstringData: {api-key: %q}\n", namespace, os.Getenv("EDICT_MODEL_API_KEY"))
	_, err = s.cluster.KubectlStdin(ctx, secret, "apply", "-f", "-")
	return err
}

// askWithATool asks a question that needs a tool.
func askWithATool(ctx context.Context, s *stage) error {
	title("A question that needs a tool")
	if err := s.apply(ctx, "find_flights"); err != nil {
		return err
	}
	if err := s.complete(ctx, "find-flights"); err != nil {
		return err
	}
	say("The agent decided to search; the search became a Command of its own; its result led to the answer:")
	return s.type_(ctx, "get", "cmd", "-n", namespace, "-o", "wide")
}

// remember lets the agent remember something.
func remember(ctx context.Context, s *stage) error {
	title("Something to remember")
	for _, name := range []string{"remember-seat", "save-preference"} {
		if err := s.apply(ctx, strings.ReplaceAll(name, "-", "_")); err != nil {
			return err
		}
		if err := s.complete(ctx, name); err != nil {
			return err
		}
	}
	say("What is remembered is in the view's context, here as a ConfigMap that any pod can mount:")
	err := s.until(ctx, "the ConfigMap shows the memory", func() (bool, error) {
		out, err := s.cluster.Kubectl(ctx, "get", "cm", "concierge-context", "-n", namespace, "-o", "yaml")
		return err == nil && strings.Contains(out, "window"), nil
	})
	if err != nil {
		return err
	}
	return s.type_(ctx, "get", "cm", "concierge-context", "-n", namespace, "-o", `go-template={{index .data "context.md"}}`)
}

// applyAgain applies everything a second time, even after deleting it.
func applyAgain(ctx context.Context, s *stage) error {
	title("The same manifests again: nothing runs")
	before, err := s.events(ctx)
	if err != nil {
		return err
	}
	for _, file := range []string{"find_flights", "remember_seat", "save_preference"} {
		if err := s.apply(ctx, file); err != nil {
			return err
		}
	}
	say("Nor if the objects were deleted in between: the journal remembers that this name and this intent have run.")
	if err := s.type_(ctx, "delete", "-f", "config/samples/commands/find_flights.yaml"); err != nil {
		return err
	}
	if err := s.apply(ctx, "find_flights"); err != nil {
		return err
	}
	if err := s.complete(ctx, "find-flights"); err != nil {
		return err
	}
	after, err := s.events(ctx)
	if err != nil {
		return err
	}
	if after != before {
		return fmt.Errorf("the journal grew from %d to %d events", before, after)
	}
	say(fmt.Sprintf("The journal had %d events before, and has %d now.", before, after))
	return nil
}

// kill kills the operator in the middle of a booking.
func kill(ctx context.Context, s *stage) error {
	title("The operator is killed in the middle of a call")
	if err := s.apply(ctx, "book_flight"); err != nil {
		return err
	}
	err := s.until(ctx, "the booking reaches the travel API", func() (bool, error) { return s.travel.Stats().Bookings == 1, nil })
	if err != nil {
		return err
	}
	say("The travel API has booked, and has not answered yet.")
	if err := s.quietly(ctx, "wait", "-n", namespace, "--for=jsonpath={.status.phase}=Running", "cmd/book-flight-1-0", "--timeout=10s"); err != nil {
		return err
	}
	typed("kill -KILL %d   # the operator", s.operator.command.Process.Pid)
	if err := s.operator.kill(); err != nil {
		return err
	}
	if err := s.type_(ctx, "get", "cmd", "-n", namespace); err != nil {
		return err
	}
	say("It starts again. It finds the attempt open in the journal, waits for its deadline, and calls again with the same Idempotency-Key.")
	if err := s.startOperator(ctx); err != nil {
		return err
	}
	if err := s.complete(ctx, "book-flight"); err != nil {
		return err
	}
	stats := s.travel.Stats()
	say(fmt.Sprintf("The travel API's own count of bookings is %d, although it was asked %s:", stats.Bookings, twice(stats.RequestsByKey)))
	if stats.Bookings != 1 {
		return fmt.Errorf("%d bookings", stats.Bookings)
	}
	bookings, err := read(ctx, http.DefaultClient, "http://127.0.0.1:8091/bookings", "demo-token")
	if err != nil {
		return err
	}
	typed("curl -s http://127.0.0.1:8091/bookings")
	fmt.Println(indent(bookings))
	switch {
	case strings.Contains(bookings, "window"):
	case s.model == nil:
		say("The model chose another seat than the remembered one; a scripted model would not have.")
		return nil
	default:
		return errors.New("the booking does not show the remembered seat")
	}
	say("The seat is by the window: nobody said so in this question; the agent remembered.")
	return nil
}

// twice says how often the key that came most often came.
func twice(byKey map[string]int) string {
	most := 0
	for key, n := range byKey {
		if key != "" {
			most = max(most, n)
		}
	}
	return fmt.Sprintf("%d times under one key", most)
}

// lookAround shows what a person sees afterwards.
func lookAround(ctx context.Context, s *stage) error {
	title("What happened, and why")
	err := s.until(ctx, "the agent's totals are up to date", func() (bool, error) {
		out, err := s.cluster.Kubectl(ctx, "get", "agt", "concierge", "-n", namespace, "-o", "jsonpath={.status.openCommands}")
		return out == "0", err
	})
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"get", "agt,cmd,cv", "-n", namespace},
		{"describe", "cmd", "book-flight", "-n", namespace},
		{"get", "events", "-n", namespace, "--sort-by=.metadata.creationTimestamp"},
	} {
		if err := s.type_(ctx, args...); err != nil {
			return err
		}
	}
	say("The context of a question in this conversation, over HTTP; Kubernetes itself says who may read it:")
	context_, err := s.query(ctx, "/v1/namespaces/travel/contextviews/concierge/context?conversation=ada")
	if err != nil {
		return err
	}
	fmt.Println(indent(context_))
	say("And the journal, of which all of the above is a mirror; here what each event says of itself, without its data:")
	journal, err := s.query(ctx, "/v1/namespaces/travel/agents/concierge/journal?from=1")
	if err != nil {
		return err
	}
	if err := list(journal); err != nil {
		return err
	}
	title("The end")
	say(fmt.Sprintf("That took %s. Everything is stopped and removed now; `make demo KEEP=1` leaves it running.", time.Since(s.started).Round(time.Second)))
	return nil
}

// list shows the journal's lines, one event each.
func list(lines string) error {
	for _, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		var event struct {
			Sequence            int64
			Time, Type, Subject string
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			return fmt.Errorf("read the journal's line %q: %w", line, err)
		}
		fmt.Printf("  %4d  %-27s  %-17s  %s\n", event.Sequence, event.Time, event.Type, event.Subject)
	}
	fmt.Println()
	return nil
}

// query reads from the operator's HTTP API as a service account that may view.
func (s *stage) query(ctx context.Context, path string) (string, error) {
	token, err := s.cluster.Kubectl(ctx, "create", "token", "reader", "-n", namespace)
	if err != nil {
		if err := s.makeReader(ctx); err != nil {
			return "", err
		}
		if token, err = s.cluster.Kubectl(ctx, "create", "token", "reader", "-n", namespace); err != nil {
			return "", err
		}
	}
	typed(`curl -sk -H "Authorization: Bearer $(kubectl create token reader -n %s)" "https://%s%s"`, namespace, s.operator.query, path)
	// The certificate is self-signed and new at each start, and the server is this program's own child.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // see above
	defer client.CloseIdleConnections()
	return read(ctx, client, "https://"+s.operator.query+path, strings.TrimSpace(token))
}

// makeReader makes a service account that may view the namespace.
func (s *stage) makeReader(ctx context.Context) error {
	if err := s.type_(ctx, "create", "serviceaccount", "reader", "-n", namespace); err != nil {
		return err
	}
	return s.type_(ctx, "create", "rolebinding", "reader", "-n", namespace, "--clusterrole=view", "--serviceaccount="+namespace+":reader")
}

// events returns how many events the agent's stream has.
func (s *stage) events(ctx context.Context) (int, error) {
	journal, err := s.query(ctx, "/v1/namespaces/travel/agents/concierge/journal?from=1")
	return strings.Count(journal, "\n"), err
}
