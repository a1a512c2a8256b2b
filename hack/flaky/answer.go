package flaky

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// lies are the answers that a client gets in place of the API server's.
var lies = []int{http.StatusConflict, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusGatewayTimeout}

// lie is the status that a client is told of a write that happened.
type lie int

func (l lie) Error() string { return fmt.Sprintf("the client is told %d", int(l)) }

// errLost breaks the connection in place of an answer.
var errLost = errors.New("the answer is lost")

// fail answers a request whose answer is lost. An API server that cannot be reached looks as it would without the proxy:
// the connection breaks.
func fail(w http.ResponseWriter, _ *http.Request, err error) {
	var told lie
	if !errors.As(err, &told) {
		panic(http.ErrAbortHandler)
	}
	tell(w, int(told))
}

// tell answers as kube-apiserver would.
func tell(w http.ResponseWriter, status int) {
	reasons := map[int]string{
		http.StatusConflict: "Conflict", http.StatusTooManyRequests: "TooManyRequests",
		http.StatusInternalServerError: "InternalError", http.StatusGatewayTimeout: "Timeout",
	}
	body, err := json.Marshal(map[string]any{
		"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure",
		"code": status, "reason": reasons[status], "message": "injected by the flaky proxy",
	})
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has left needs no answer
}

const (
	maxAnswers = 4       // older answers remembered for each request
	maxAnswer  = 4 << 20 // bytes of an answer that is remembered
)

// answers remembers what reads were answered, to answer so again.
type answers struct {
	mu sync.Mutex
	to map[string][]*answer
}

type answer struct {
	header http.Header
	body   []byte
}

// formOf returns what a request is known by: who asks for what in which form.
func formOf(r *http.Request) string {
	return strings.Join([]string{r.Method, r.URL.RequestURI(), r.Header.Get("Accept"), r.Header.Get("Accept-Encoding"),
		r.Header.Get("Authorization")}, "\x00")
}

// remember keeps a good answer, and leaves the response as it was.
func (a *answers) remember(form string, response *http.Response) error {
	kind := response.Header.Get("Content-Type")
	whole := strings.HasPrefix(kind, "application/json") || strings.HasPrefix(kind, "application/vnd.kubernetes.protobuf")
	if !whole || response.StatusCode != http.StatusOK || response.ContentLength > maxAnswer {
		return nil // what is followed, as a log, does not end
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	if len(body) > maxAnswer {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.to == nil {
		a.to = map[string][]*answer{}
	}
	known := a.to[form]
	if len(known) > 0 && bytes.Equal(known[len(known)-1].body, body) {
		return nil
	}
	known = append(known, &answer{header: response.Header.Clone(), body: body})
	a.to[form] = known[max(0, len(known)-maxAnswers-1):]
	return nil
}

// older returns one of the answers before the newest, nil if there is none.
func (a *answers) older(form string, d *dice) *answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.to[form]
	if len(known) < 2 {
		return nil
	}
	return known[d.pick(len(known)-1)]
}

func (a *answer) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(a.body) // a client that has left needs no answer
}
