package consul

import "render/watch"

// Reread implements watch.Rereader: a request that waits passes through agents and proxies, any of which can lose a change.
// A query that cannot wait is read again and again without this. An answer that is ordered by distance is left out: its order changes
// without a new index.
func (s *Source) Reread(q watch.Query) bool {
	switch q.Kind {
	case watch.KindDatacenters, watch.KindPartitions:
		return false
	}
	return !q.Options().Has(watch.OptNear)
}
