package status

import (
	"cmp"
	"time"

	"render/render/commit"
	"render/watch"
)

// View returns the target as a snapshot has it, without what only its engine knows.
func (s TargetStatus) View(ids IDs, t *TargetTrack) *Target {
	v := &Target{
		ID: t.ID(ids, s.Source, s.Destination), Source: s.Source, Destination: s.Destination, Path: s.Path,
		State: t.State, Since: t.Since, Error: errorText(s.Err), Stale: errorText(s.Stale), Passes: s.Passes,
		LastPass: t.LastPass, PassSeconds: t.PassTook.Seconds(), Executing: s.Executing,
		LastChange: t.LastChange, AppliedOnce: t.Applied, Waiting: []Wait{}, Held: []Hold{},
	}
	for _, m := range s.Missing {
		w := Wait{Query: ids.Query(m.Asked), Text: m.Query, Kind: m.Kind, Where: m.Where, Reason: QueryPending, Error: errorText(m.Err)}
		switch {
		case m.None:
			w.Reason = QueryAbsent
		case m.Err != nil:
			w.Reason = QueryFailed
		}
		v.Waiting = append(v.Waiting, w)
	}
	for _, h := range s.Held {
		v.Held = append(v.Held, Hold{
			Query: ids.Query(h.Asked), Text: h.Query, Where: h.Where, First: h.First, Before: h.Before, After: h.After,
			Guard: h.Guard, Since: h.Since, Until: h.Until,
		})
	}
	return v
}

// maxText is the most bytes of an error in a snapshot.
const maxText = 4 << 10

// errorText returns the text of an error, shortened; empty for nil.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return Short(commit.PublicText(err), maxText)
}

// Short returns the beginning of a text of at most so many bytes, with […] where something is left out.
func Short(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && text[most]&0xC0 == 0x80 { // not within a letter
		most--
	}
	return text[:most] + "[…]"
}

// Accept notes that a configuration is in effect.
func (c *Configuration) Accept(now time.Time) {
	c.Version++
	c.Accepted++
	c.Loaded, c.Reload, c.Error = now, now, ""
}

// Reject notes that a configuration was rejected.
func (c *Configuration) Reject(err error, now time.Time) {
	c.Rejected++
	c.Reload, c.Error = now, errorText(err)
}

// Connections returns the figures of sources as a snapshot has them.
func Connections(all []watch.Figures) []Connection {
	connections := make([]Connection, 0, len(all))
	for _, f := range all {
		connections = append(connections, Connection{
			Server: cmp.Or(f.Server, "consul"), Address: f.Address, Reachable: f.Err == nil && !f.LastAnswer.IsZero(), Since: f.Since, Error: errorText(f.Err),
			Requests: map[string]uint64{"ok": f.Answered, "denied": f.Denied, "refused": f.Refused, "failed": f.Failed},
			InFlight: f.InFlight, Waiting: f.Waiting, Limit: f.Limit, LastAnswer: f.LastAnswer, Behind: f.Behind.Seconds(),
			KnownLeader: f.KnownLeader, Bytes: f.Bytes,
		})
	}
	return connections
}
