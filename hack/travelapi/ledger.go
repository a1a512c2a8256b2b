package travelapi

import (
	"maps"
	"slices"
	"strconv"
	"sync"
)

// Booking is a seat that somebody has.
type Booking struct {
	ID string `json:"id"`
	Wish
}

// Wish is the body of a request for a booking.
type Wish struct {
	Flight    string `json:"flight"`
	Passenger string `json:"passenger"`
	Seat      string `json:"seat,omitempty"`
}

// Stats is what happened.
type Stats struct {
	Requests int `json:"requests"` // to flights and bookings, whatever came of them
	Bookings int `json:"bookings"` // made; one that was changed or removed later stays counted
	Standing int `json:"standing"` // not removed
	// RequestsByKey counts the requests that carried each Idempotency-Key.
	RequestsByKey map[string]int `json:"requestsByKey"`
	// DuplicatesByKey counts, for the keys that came more than once, the requests after the first.
	DuplicatesByKey map[string]int `json:"duplicatesByKey"`
	// BookingsByKey counts the bookings made under each key: never more than one, unless keys are ignored.
	BookingsByKey map[string]int `json:"bookingsByKey"`
}

// ledger holds the bookings. Its zero value has to be reset before use.
type ledger struct {
	mu        sync.Mutex
	counts    Stats
	order     []string // identifiers of bookings that were made, oldest first
	bookings  map[string]Booking
	byKey     map[string]Booking // the booking that was made under a key, as it was made
	removedBy map[string]string  // the booking that was removed under a key
	failures  map[string]int     // by request, for /status
}

func (l *ledger) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts = Stats{RequestsByKey: map[string]int{}, BookingsByKey: map[string]int{}}
	l.order, l.bookings = nil, map[string]Booking{}
	l.byKey, l.removedBy, l.failures = map[string]Booking{}, map[string]string{}, map[string]int{}
}

func (l *ledger) request(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Requests++
	if key != "" {
		l.counts.RequestsByKey[key]++
	}
}

// outcome is what came of a request for a booking.
type outcome int

const (
	made     outcome = iota // and counted
	replayed                // it had been made under this key
	reused                  // the key belongs to another wish
)

// book makes a booking. With honour, a key makes one booking at most.
func (l *ledger) book(key string, honour bool, wish Wish) (Booking, outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if earlier, known := l.byKey[key]; known && honour && key != "" {
		if earlier.Wish != wish {
			return Booking{}, reused
		}
		return earlier, replayed
	}
	booking := Booking{ID: l.freeID(), Wish: wish}
	l.add(booking)
	if key != "" {
		l.byKey[key] = booking
		l.counts.BookingsByKey[key]++
	}
	return booking, made
}

// freeID returns an identifier that no booking has: PUT may have taken any. The caller holds the lock.
func (l *ledger) freeID() string {
	for n := l.counts.Bookings + 1; ; n++ {
		id := "B" + strconv.Itoa(n)
		if _, taken := l.bookings[id]; !taken {
			return id
		}
	}
}

// add counts a booking that is made. The caller holds the lock.
func (l *ledger) add(booking Booking) {
	l.counts.Bookings++
	l.order = append(l.order, booking.ID)
	l.bookings[booking.ID] = booking
}

// put makes or replaces a booking under its identifier and reports whether it made one.
func (l *ledger) put(booking Booking) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.bookings[booking.ID]; known {
		l.bookings[booking.ID] = booking
		return false
	}
	l.add(booking)
	return true
}

func (l *ledger) get(id string) (Booking, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	booking, known := l.bookings[id]
	return booking, known
}

// remove removes a booking and reports whether it was there, or was removed under this key before.
func (l *ledger) remove(key, id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if key != "" && l.removedBy[key] == id {
		return true
	}
	_, known := l.bookings[id]
	if known {
		l.removedBy[key] = id
	}
	delete(l.bookings, id)
	l.order = slices.DeleteFunc(l.order, func(o string) bool { return o == id })
	return known
}

func (l *ledger) all() []Booking {
	l.mu.Lock()
	defer l.mu.Unlock()
	bookings := make([]Booking, 0, len(l.order))
	for _, id := range l.order {
		bookings = append(bookings, l.bookings[id])
	}
	return bookings
}

// failed counts one more failure of a request and returns how many there have been.
func (l *ledger) failed(request string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures[request]++
	return l.failures[request]
}

func (l *ledger) stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.counts
	s.Standing = len(l.bookings)
	s.RequestsByKey, s.BookingsByKey = maps.Clone(s.RequestsByKey), maps.Clone(s.BookingsByKey)
	s.DuplicatesByKey = map[string]int{}
	for key, n := range s.RequestsByKey {
		if n > 1 {
			s.DuplicatesByKey[key] = n - 1
		}
	}
	return s
}
