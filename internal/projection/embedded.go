package projection

import "context"

// Embedded returns the vectors of a stream that were recorded after one sequence and not after another, oldest first.
func (s *Store) Embedded(ctx context.Context, stream string, after, upTo int64) ([]Embedded, error) {
	return nil, nil
}

// Observations returns what is observed, by name: as of a sequence, the newest of each.
func (s *Store) Observations(ctx context.Context, of Scope) ([]Observation, error) {
	return nil, nil
}
