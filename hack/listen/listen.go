// Package listen runs the small HTTP servers of hack/: it listens, says where, and ends when it is told to. It knows
// nothing of what they serve.
package listen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"
)

// patience is how long requests under way may take to finish once the server has been told to stop; after it their
// connections are closed, so that a handler that hangs on purpose cannot keep the process alive.
const patience = 2 * time.Second

// Serve listens at address, writes one line "NAME listens on http://HOST:PORT" to out, and serves until the context
// ends or the process is sent SIGTERM or SIGINT; then it returns nil. Port 0 chooses a free port.
func Serve(ctx context.Context, out io.Writer, name, address string, handler http.Handler) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if _, err := fmt.Fprintf(out, "%s listens on http://%s\n", name, listener.Addr()); err != nil {
		return errors.Join(err, server.Close())
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return server.Close()
	}
	return nil
}
