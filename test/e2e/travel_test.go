package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edict-dev/edict/hack/travelapi"
)

// travel is the travel API, which takes its time and outlives the operator's lives. Set its fields before it is called.
type travel struct {
	*travelapi.Server
	url     string
	latency func() time.Duration // before a request is served, and again before it is answered; nil: none
	gate    *gate                // that every request waits for; nil: none

	requests atomic.Int64
}

// newTravel starts one; with ignoreKeys it books at every request, whatever its Idempotency-Key.
func newTravel(t *testing.T, ignoreKeys bool) *travel {
	t.Helper()
	api := &travel{}
	api.Server = travelapi.New(travelapi.Options{IgnoreKeys: ignoreKeys, Committed: func(travelapi.Booking) { api.pause() }})
	listener := httptest.NewServer(api)
	t.Cleanup(func() {
		listener.CloseClientConnections() // a handler that hangs on purpose ends with its connection
		listener.Close()
	})
	api.url = listener.URL
	return api
}

func (a *travel) pause() {
	if a.latency != nil {
		time.Sleep(a.latency())
	}
}

// ServeHTTP serves a request whether its sender still waits or not, as a receiver does that has read it.
func (a *travel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it never came whole
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	a.requests.Add(1)
	if a.gate != nil {
		<-a.gate.open
	}
	a.pause()
	a.Server.ServeHTTP(w, r)
}

// calls returns how many requests came, of any kind.
func (a *travel) calls() int { return int(a.requests.Load()) }

// booked returns how many bookings were made for each passenger.
func (a *travel) booked() map[string]int {
	n := map[string]int{}
	for _, b := range a.Bookings() {
		n[b.Passenger]++
	}
	return n
}
