package projection

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
)

func TestVectorsAreReadInTheOrderInWhichTheyWereRecorded(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		log.add(stream, "q", agent.TextsEmbedded{Model: "small", Dimensions: 3, Texts: []string{"t1", "t2"}, Vectors: "v1"}, agent.ContextBuilt{})
		log.add("travel/other", "q", agent.TextsEmbedded{Model: "small", Dimensions: 3, Texts: []string{"secret"}, Vectors: "v2"})
		end := log.add(stream, "i", agent.TextsEmbedded{Model: "large", Dimensions: 4, Texts: []string{"t1"}, Vectors: "v3"})
		s := projected(t, at, log)
		one := Embedded{Sequence: 1, Model: "small", Dimensions: 3, Texts: []string{"t1", "t2"}, Vectors: "v1"}
		two := Embedded{Sequence: 3, Model: "large", Dimensions: 4, Texts: []string{"t1"}, Vectors: "v3"}
		for _, c := range []struct {
			name        string
			after, upTo int64
			want        []Embedded
		}{
			{"of all", 0, end, []Embedded{one, two}},
			{"as it was", 0, end - 1, []Embedded{one}},
			{"what came since", 1, end, []Embedded{two}},
			{"where nothing came", end, end, nil},
			{"at first", 0, 0, nil},
		} {
			got, err := s.Embedded(t.Context(), stream, c.after, c.upTo)
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got)\n%s", c.name, err, diff)
			}
		}
	})
}

func TestAnObservationHoldsUntilTheNextOfItsName(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		look := func(name, fields string, missing bool) int64 {
			return log.add(stream, "o", agent.ObjectObserved{
				Observation: name, APIVersion: "apps/v1", Kind: "Deployment", Namespace: "default", Name: "web", UID: "u", Missing: missing, Fields: json.RawMessage(fields),
			})
		}
		web := look("web", `{"ready":1}`, false)
		zone := log.add(stream, "z", agent.ObjectObserved{Observation: "Zone", APIVersion: "v1", Kind: "Zone", Name: "eu", Fields: json.RawMessage(`{"up":true}`)})
		again := look("web", `{"ready":2}`, false)
		gone := look("web", ``, true)
		s := projected(t, at, log)

		observed := func(sequence int64, fields string) Observation {
			return Observation{Sequence: sequence, Time: epoch.Add(time.Duration(3*sequence) * time.Second), Name: "web", Object: "Deployment default/web", Fields: fields}
		}
		eu := Observation{Sequence: zone, Time: epoch.Add(6 * time.Second), Name: "Zone", Object: "Zone eu", Fields: `{"up":true}`}
		missing := observed(gone, "")
		missing.Missing = true
		for _, c := range []struct {
			name  string
			asOf  int64
			limit int
			want  []Observation
		}{
			{"before anything was observed", 0, 9, nil},
			{"the first", web, 9, []Observation{observed(web, `{"ready":1}`)}},
			{"two names, in their order", zone, 9, []Observation{eu, observed(web, `{"ready":1}`)}},
			{"the next takes the place of the first", again, 9, []Observation{eu, observed(again, `{"ready":2}`)}},
			{"an object that is no more", gone, 9, []Observation{eu, missing}},
			{"the newest, if there is room for some", gone, 1, []Observation{missing}},
			{"as it was, if there is room for some", zone, 1, []Observation{eu}},
		} {
			got, err := s.Observations(t.Context(), Scope{Stream: stream, AsOf: c.asOf, Limit: c.limit})
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got)\n%s", c.name, err, diff)
			}
		}
	})
}
