package listen

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestServeSaysWhereAndEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write := io.Pipe()
	ended := make(chan error, 1)
	hanging := make(chan struct{})
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(hanging)
		<-r.Context().Done()
	})
	go func() { ended <- Serve(ctx, write, "the test", "127.0.0.1:0", handler) }()

	line := make([]byte, 100)
	n, err := read.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	url, found := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "the test listens on ")
	if !found {
		t.Fatalf("it said %q", line[:n])
	}
	go func() {
		if response, err := http.Get(url); err == nil {
			_ = response.Body.Close()
		}
	}()
	<-hanging
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience + 5*time.Second):
		t.Error("a request that hangs keeps the server alive")
	}
}
