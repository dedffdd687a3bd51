package consul

import "render/watch"

// Figures implements watch.Counter.
func (s *Source) Figures() []watch.Figures { return []watch.Figures{s.agent.Figures()} }
