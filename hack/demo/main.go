// Command demo tells Edict's story on a real control plane: it starts etcd,
// kube-apiserver and kube-controller-manager, the operator, a scripted model and
// a small travel API, and then types what a user would type and shows what that
// prints. The model is scripted, because no language model can be had offline:
// its decisions come from config/samples/model.yaml. Set EDICT_MODEL_BASE_URL,
// EDICT_MODEL_NAME and EDICT_MODEL_API_KEY to tell the same story with a real one.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	keep := flag.Bool("keep", false, "leave everything running at the end, until Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := tell(ctx, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

// tell starts everything, tells the story, and stops everything.
func tell(ctx context.Context, keep bool) (err error) {
	s, err := newStage(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if stopped := s.close(); err == nil {
			err = stopped
		}
	}()
	for _, scene := range []func(context.Context, *stage) error{
		setUp, askWithATool, remember, applyAgain, kill, lookAround,
	} {
		if err := scene(ctx, s); err != nil {
			return s.explain(err)
		}
	}
	if keep {
		s.leaveUp(ctx)
	}
	return nil
}
