package e2e

type reader struct{}
func newReader(w *world, name string, b bool) *reader { return nil }
func (r *reader) context(v, c string, m int64) struct{Text string} { return struct{Text string}{} }
