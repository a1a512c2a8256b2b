package travelapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/hack/travelapi"
)

const (
	window = `{"flight":"ED101","passenger":"Ada","seat":"12A"}`
	aisle  = `{"flight":"ED101","passenger":"Ada","seat":"12C"}`
)

func TestTheSameQuestionFindsTheSameFlights(t *testing.T) {
	client := serve(t, travelapi.Options{})
	first := client.do(t, "GET", "/flights?from=Zurich&to=Lisbon&date=2027-03-04", "")
	second := client.do(t, "GET", "/flights?from=zurich&to=LISBON&date=2027-03-04", "")
	if first.status != 200 || strings.Count(first.body, `"flight":`) != 3 {
		t.Errorf("%+v", first)
	}
	if !strings.EqualFold(first.body, second.body) {
		t.Errorf("%s\n%s", first.body, second.body)
	}
	if other := client.do(t, "GET", "/flights?from=Zurich&to=Lisbon&date=2027-03-05", ""); other.body == first.body {
		t.Error("another day has the same flights")
	}
	for _, path := range []string{"/flights", "/flights?from=a&to=b", "/flights?from=a&to=b&date=tomorrow"} {
		if got := client.do(t, "GET", path, ""); got.status != 400 {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

func TestAKeyBooksOnce(t *testing.T) {
	client := serve(t, travelapi.Options{})
	var together sync.WaitGroup
	for range 8 {
		together.Go(func() {
			if got := client.do(t, "POST", "/bookings", window, "Idempotency-Key", "k1"); got.status != 201 {
				t.Errorf("%+v", got)
			}
		})
	}
	together.Wait()
	if got := client.do(t, "POST", "/bookings", aisle, "Idempotency-Key", "k1"); got.status != 422 {
		t.Errorf("another wish under the same key: %+v", got)
	}
	client.do(t, "POST", "/bookings", window, "Idempotency-Key", "k2")
	client.do(t, "POST", "/bookings", window)

	want := travelapi.Stats{
		Requests: 11, Bookings: 3, Standing: 3,
		RequestsByKey:   map[string]int{"k1": 9, "k2": 1},
		DuplicatesByKey: map[string]int{"k1": 8},
		BookingsByKey:   map[string]int{"k1": 1, "k2": 1},
	}
	if diff := cmp.Diff(want, client.Stats()); diff != "" {
		t.Error(diff)
	}
	var served travelapi.Stats
	if err := json.Unmarshal([]byte(client.do(t, "GET", "/stats", "").body), &served); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, served); diff != "" {
		t.Error(diff)
	}
}

func TestAReceiverThatIgnoresKeysBooksAgain(t *testing.T) {
	client := serve(t, travelapi.Options{IgnoreKeys: true})
	client.do(t, "POST", "/bookings", window, "Idempotency-Key", "k1")
	client.do(t, "POST", "/bookings", window, "Idempotency-Key", "k1")
	if got := client.Stats(); got.Bookings != 2 || got.BookingsByKey["k1"] != 2 {
		t.Errorf("%+v", got)
	}
}

func TestABookingStandsWhenItsCallerDiesBeforeTheAnswer(t *testing.T) {
	committed := make(chan travelapi.Booking, 2)
	client := serve(t, travelapi.Options{Hold: time.Hour, Committed: func(b travelapi.Booking) { committed <- b }})
	ctx, die := context.WithCancel(t.Context())
	died := make(chan error, 1)
	go func() {
		request, err := http.NewRequestWithContext(ctx, "POST", client.url+"/bookings", strings.NewReader(window))
		if err != nil {
			died <- err
			return
		}
		request.Header.Set("Idempotency-Key", "k1")
		_, err = http.DefaultClient.Do(request)
		died <- err
	}()
	booking := <-committed
	die()
	if err := <-died; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	got := client.do(t, "POST", "/bookings", window, "Idempotency-Key", "k1")
	if got.status != 201 || got.header.Get("Idempotency-Replayed") != "true" || !strings.Contains(got.body, `"`+booking.ID+`"`) {
		t.Errorf("asked again: %+v", got)
	}
	if diff := cmp.Diff([]travelapi.Booking{booking}, client.Bookings()); diff != "" {
		t.Error(diff)
	}
}

func TestBookingsAreKept(t *testing.T) {
	client := serve(t, travelapi.Options{})
	for _, step := range []struct {
		method, path, body string
		status             int
		has                string
	}{
		{"PUT", "/bookings/B1", window, 201, `"id":"B1"`},
		{"PUT", "/bookings/B1", aisle, 200, `"seat":"12C"`},
		{"POST", "/bookings", window, 201, `"id":"B2"`},
		{"GET", "/bookings/B1", "", 200, `"seat":"12C"`},
		{"GET", "/bookings", "", 200, `"id":"B2"`},
		{"DELETE", "/bookings/B1", "", 204, ""},
		{"DELETE", "/bookings/B1", "", 404, "no such booking"},
		{"GET", "/bookings/B1", "", 404, "no such booking"},
		{"POST", "/bookings", `{"flight":"ED101"}`, 400, "passenger"},
		{"POST", "/bookings", `flight=ED101`, 400, "JSON"},
	} {
		got := client.do(t, step.method, step.path, step.body)
		if got.status != step.status || !strings.Contains(got.body, step.has) {
			t.Errorf("%s %s: %+v", step.method, step.path, got)
		}
	}
	for range 2 {
		if got := client.do(t, "DELETE", "/bookings/B2", "", "Idempotency-Key", "k9"); got.status != 204 {
			t.Errorf("%+v", got)
		}
	}
	if got := client.Stats(); got.Bookings != 2 || got.Standing != 0 {
		t.Errorf("%+v", got)
	}
}

func TestATokenIsAskedFor(t *testing.T) {
	client := serve(t, travelapi.Options{Token: "right"})
	if got := client.do(t, "POST", "/bookings", window, "Authorization", "Bearer wrong"); got.status != 401 {
		t.Errorf("%+v", got)
	}
	if got := client.do(t, "POST", "/bookings", window, "Authorization", "Bearer right"); got.status != 201 {
		t.Errorf("%+v", got)
	}
}

func TestItMisbehavesAsAsked(t *testing.T) {
	client := serve(t, travelapi.Options{})
	for range 2 {
		got := client.do(t, "GET", "/status/503?times=2&retryAfter=7", "")
		if got.status != 503 || got.header.Get("Retry-After") != "7" {
			t.Errorf("%+v", got)
		}
	}
	for _, want := range []struct {
		method, path string
		status       int
		has          string
	}{
		{"GET", "/status/503?times=2&retryAfter=7", 200, "well again"},
		{"PUT", "/status/503?times=2&retryAfter=7", 503, ""}, // another request has a count of its own
		{"GET", "/status/418", 418, "teapot"},
		{"GET", "/status/204", 204, ""},
		{"GET", "/status/99", 400, "599"},
		{"POST", "/redirect?to=/elsewhere", 302, ""},
		{"GET", "/big?bytes=1", 400, "bytes"},
		{"POST", "/echo?q=1", 200, `"X-Secret":["s3cret"]`},
	} {
		got := client.do(t, want.method, want.path, "", "X-Secret", "s3cret")
		if got.status != want.status || !strings.Contains(got.body, want.has) {
			t.Errorf("%s %s: %+v", want.method, want.path, got)
		}
	}
	if got := client.do(t, "GET", "/big?bytes=200001", ""); len(got.body) != 200001 || !json.Valid([]byte(got.body)) {
		t.Errorf("%d bytes", len(got.body))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", client.url+"/hang", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultClient.Do(request); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// client calls a Server over HTTP.
type client struct {
	*travelapi.Server
	url string
}

func serve(t *testing.T, options travelapi.Options) *client {
	t.Helper()
	server := travelapi.New(options)
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	return &client{Server: server, url: listening.URL}
}

type reply struct {
	status int
	header http.Header
	body   string
}

// do sends a request with headers given as names and values in turn. It follows no redirects.
func (c *client) do(t *testing.T, method, path, body string, headers ...string) reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return reply{}
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Error(err)
		return reply{}
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return reply{response.StatusCode, response.Header, string(text)}
}
