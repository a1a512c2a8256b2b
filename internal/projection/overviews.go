package projection

import "context"

// A summary is of no use once something that it covers has gone: it would tell on what was removed or replaced.
var selectOverviews = portable(`SELECT s.sequence, s.time, s.conversation, s.collection, s.command, s.first, s.last, s.text FROM summaries s
	WHERE s.stream = $1 AND s.conversation = '' AND s.collection = $4 AND s.sequence <= $2 AND NOT EXISTS (
		SELECT 1 FROM documents d INDEXED BY documents_by_collection
		WHERE d.stream = $1 AND d.collection = $4 AND d.until > s.sequence AND d.until <= $2
			AND d.since > 0 AND d.since <= s.sequence AND d.sequence <= s.last)
	ORDER BY s.sequence DESC LIMIT $3`)

// Overviews returns the summaries of a collection, newest first, but for those that
// cover a document which was removed or replaced since they were written.
func (s *Store) Overviews(ctx context.Context, of Scope, collection string) ([]Summary, error) {
	return read(ctx, s, of, func(stream int64) ([]Summary, error) {
		return query(ctx, s, selectOverviews, scanSummary, stream, of.AsOf, of.Limit, collection)
	})
}
