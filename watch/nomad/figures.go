package nomad

import "render/watch"

// Figures implements watch.Counter. Before the first query there are none: Nomad may not be needed.
func (s *Source) Figures() []watch.Figures {
	s.opening.Lock()
	opened := s.agent
	s.opening.Unlock()
	if opened == nil {
		return nil
	}
	all := opened.Figures()
	all.Server = "nomad"
	return []watch.Figures{all}
}
