package travelapi

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// Flight is one offer.
type Flight struct {
	Flight  string `json:"flight"`
	From    string `json:"from"`
	To      string `json:"to"`
	Date    string `json:"date"`    // YYYY-MM-DD
	Departs string `json:"departs"` // HH:MM
	Arrives string `json:"arrives"` // HH:MM
	Price   int    `json:"price"`   // in euros
}

// offered is how many flights answer a question.
const offered = 3

func (s *Server) flights(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	from, to, date := query.Get("from"), query.Get("to"), query.Get("date")
	if from == "" || to == "" {
		fail(w, http.StatusBadRequest, "Give from and to: two airports or cities.")
		return
	}
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		fail(w, http.StatusBadRequest, "Give date as YYYY-MM-DD.")
		return
	}
	write(w, http.StatusOK, map[string][]Flight{"flights": Flights(from, to, date)})
}

// Flights returns the flights between two places on a day, in the order of their departure. The same question has the
// same answer in every process.
func Flights(from, to, date string) []Flight {
	seed := fnv.New64a()
	_, _ = seed.Write([]byte(strings.ToLower(from + "\x00" + to + "\x00" + date))) // a hash cannot fail
	random := rand.New(rand.NewPCG(seed.Sum64(), 0))
	flights := make([]Flight, 0, offered)
	for i := range offered {
		// One in each part of the day, so that the order is clear.
		departs := (6+5*i)*60 + 5*random.IntN(48)
		arrives := departs + 75 + 5*random.IntN(24)
		flights = append(flights, Flight{
			Flight: fmt.Sprintf("ED%d%02d", i+1, random.IntN(100)),
			From:   from, To: to, Date: date,
			Departs: clock(departs), Arrives: clock(arrives),
			Price: 60 + random.IntN(240),
		})
	}
	return flights
}

func clock(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60%24, minutes%60) }
