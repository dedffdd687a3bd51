package status

import (
	"render/render/graph"
	"render/watch"
)

// QueryOf returns a query as a snapshot has it, without its targets. Text is the query as it is shown.
func QueryOf(ids IDs, q watch.Query, text string, st watch.State, last graph.Change) *Query {
	v := &Query{
		ID: ids.Query(q), Text: text, Kind: q.Kind, State: QueryAnswered, Since: st.Since, LastChange: last.At, Changes: st.Rev,
		Error: errorText(st.Err), Failures: st.Failures, Expires: st.Expires,
	}
	if !last.At.IsZero() {
		v.Change = last.Describe(q.Kind)
	}
	switch {
	case st.Rev == 0 && st.Err != nil:
		v.State = QueryFailed
	case st.Rev == 0:
		v.State = QueryPending
	case st.Value == nil:
		v.State = QueryAbsent
	}
	if st.Rev > 0 {
		v.Answer = graph.Describe(q.Kind, st.Value)
	}
	return v
}
