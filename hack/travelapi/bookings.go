package travelapi

import (
	"encoding/json"
	"net/http"
)

// maxBody bounds the body of a request in bytes.
const maxBody = 1 << 20

// wish reads what is to be booked. It has answered when it returns false.
func wish(w http.ResponseWriter, r *http.Request) (Wish, bool) {
	var wanted Wish
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&wanted); err != nil {
		fail(w, http.StatusBadRequest, "The body is no JSON object with flight and passenger.")
		return wanted, false
	}
	if wanted.Flight == "" || wanted.Passenger == "" {
		fail(w, http.StatusBadRequest, "Give flight and passenger.")
		return wanted, false
	}
	return wanted, true
}

func (s *Server) book(w http.ResponseWriter, r *http.Request) {
	wanted, ok := wish(w, r)
	if !ok {
		return
	}
	booking, outcome := s.ledger.book(r.Header.Get("Idempotency-Key"), !s.options.IgnoreKeys, wanted)
	switch outcome {
	case reused:
		fail(w, http.StatusUnprocessableEntity, "This Idempotency-Key was used for another booking.")
		return
	case replayed:
		w.Header().Set("Idempotency-Replayed", "true")
	case made:
		s.committed(r, booking)
	}
	write(w, http.StatusCreated, booking)
}

// committed is the time between a change and its answer.
func (s *Server) committed(r *http.Request, booking Booking) {
	if s.options.Committed != nil {
		s.options.Committed(booking)
	}
	s.hold(r)
}

func (s *Server) put(w http.ResponseWriter, r *http.Request) {
	wanted, ok := wish(w, r)
	if !ok {
		return
	}
	booking, status := Booking{ID: r.PathValue("id"), Wish: wanted}, http.StatusOK
	if s.ledger.put(booking) {
		status = http.StatusCreated
	}
	s.committed(r, booking)
	write(w, status, booking)
}

func (s *Server) list(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, map[string][]Booking{"bookings": s.Bookings()})
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	booking, known := s.ledger.get(r.PathValue("id"))
	if !known {
		fail(w, http.StatusNotFound, "There is no such booking.")
		return
	}
	write(w, http.StatusOK, booking)
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	if s.options.IgnoreKeys {
		key = ""
	}
	if !s.ledger.remove(key, r.PathValue("id")) {
		fail(w, http.StatusNotFound, "There is no such booking.")
		return
	}
	s.hold(r)
	w.WriteHeader(http.StatusNoContent)
}
