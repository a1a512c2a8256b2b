package travelapi

import (
	"io"
	"net/http"
	"strconv"
)

// The bounds of what /status and /big can be asked for.
const (
	lowestStatus, highestStatus = 200, 599
	maxBig                      = 1 << 30
)

// misbehave adds the paths that answer as no API should.
func (s *Server) misbehave() {
	s.mux.HandleFunc("/status/{code}", s.status)
	s.mux.HandleFunc("/redirect", redirect)
	s.mux.HandleFunc("/big", big)
	s.mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s.mux.HandleFunc("/echo", echo)
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < lowestStatus || code > highestStatus {
		fail(w, http.StatusBadRequest, "Give a status from 200 to 599.")
		return
	}
	query := r.URL.Query()
	times, _ := strconv.Atoi(query.Get("times")) // without it, always
	if times > 0 && s.ledger.failed(r.Method+" "+r.URL.String()) > times {
		write(w, http.StatusOK, map[string]string{"status": "well again"})
		return
	}
	if after := query.Get("retryAfter"); after != "" {
		w.Header().Set("Retry-After", after)
	}
	if code == http.StatusNoContent || code == http.StatusNotModified {
		w.WriteHeader(code)
		return
	}
	write(w, code, map[string]string{"status": http.StatusText(code)})
}

func redirect(w http.ResponseWriter, r *http.Request) {
	to := r.URL.Query().Get("to")
	if to == "" {
		to = "/echo"
	}
	http.Redirect(w, r, to, http.StatusFound)
}

// big writes a JSON text of the size asked for, piece by piece.
func big(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.Atoi(r.URL.Query().Get("bytes"))
	if err != nil || size < 2 || size > maxBig {
		fail(w, http.StatusBadRequest, "Give bytes, from 2 to 2^30.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	piece := make([]byte, 64<<10)
	for i := range piece {
		piece[i] = 'x'
	}
	_, err = io.WriteString(w, `"`)
	for left := size - 2; left > 0 && err == nil; left -= len(piece) {
		_, err = w.Write(piece[:min(left, len(piece))])
	}
	if err == nil {
		_, _ = io.WriteString(w, `"`) // the client may have left
	}
}

// echo returns what it was sent, secrets and all.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		fail(w, http.StatusBadRequest, "The body could not be read.")
		return
	}
	write(w, http.StatusOK, map[string]any{
		"method": r.Method, "path": r.URL.Path, "query": r.URL.Query(), "headers": r.Header, "body": string(body),
	})
}
