package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// title begins a scene.
func title(text string) {
	fmt.Printf("\n━━ %s %s\n\n", text, strings.Repeat("━", max(0, 76-len(text))))
}

// say is the narrator.
func say(text string) { fmt.Printf("# %s\n", text) }

// typed shows a command as a user would type it.
func typed(format string, args ...any) { fmt.Printf("$ "+format+"\n", args...) }

// type_ runs kubectl, and shows it and what it prints.
func (s *stage) type_(ctx context.Context, args ...string) error {
	typed("kubectl %s", strings.Join(args, " "))
	out, err := s.cluster.Kubectl(ctx, args...)
	if err != nil {
		return err
	}
	fmt.Println(indent(out))
	return nil
}

// quietly runs kubectl, and shows the command alone.
func (s *stage) quietly(ctx context.Context, args ...string) error {
	typed("kubectl %s", strings.Join(args, " "))
	_, err := s.cluster.Kubectl(ctx, args...)
	return err
}

// apply applies one of the sample commands.
func (s *stage) apply(ctx context.Context, file string) error {
	return s.type_(ctx, "apply", "-f", "config/samples/commands/"+file+".yaml")
}

// complete waits until a command has succeeded.
func (s *stage) complete(ctx context.Context, name string) error {
	return s.quietly(ctx, "wait", "-n", namespace, "--for=condition=Complete", "cmd/"+name, fmt.Sprintf("--timeout=%s", patience))
}

// until waits for something that is expected to happen soon.
func (s *stage) until(ctx context.Context, what string, happened func() (bool, error)) error {
	deadline := time.Now().Add(patience)
	for {
		ok, err := happened()
		switch {
		case ok || err != nil:
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("waited %s in vain until %s", patience, what)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n"
}
