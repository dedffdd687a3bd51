package funcs

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// A Scratch is the pad of one pass, shared by all templates that it executes. Its methods that store give nothing to print.
type Scratch struct {
	put      func(m map[string]any, key string, value any) error // Env.put
	measured func(m measure, values ...any) (int, error)         // Env.measured
	values   map[string]any
}

// NewScratch returns an empty pad.
func NewScratch(e *Env) *Scratch { return &Scratch{put: e.put, measured: e.measured} }

// Format prints the values by their names: without it a pad that is printed would be an address, which each pass changes. It
// prints no values that exceed a bound, because errors of text/template print values, too.
func (s Scratch) Format(f fmt.State, verb rune) {
	if _, err := s.measured(measure{escape: true, names: 48}, s.values); err != nil {
		_, _ = io.WriteString(f, "...")
		return
	}
	fmt.Fprintf(f, fmt.FormatString(f, verb), s.values)
}

func (s *Scratch) Key(name string) bool {
	_, found := s.values[name]
	return found
}

func (s *Scratch) Get(name string) any { return s.values[name] }

func (s *Scratch) Set(name string, value any) string {
	if s.values == nil {
		s.values = make(map[string]any)
	}
	s.values[name] = value
	return ""
}

func (s *Scratch) SetX(name string, value any) string {
	if s.Key(name) {
		return ""
	}
	return s.Set(name, value)
}

func (s *Scratch) MapSet(name, key string, value any) (string, error) {
	m, err := s.mapFor(name)
	if err != nil {
		return "", Wrap("scratch.MapSet", err)
	}
	return "", Wrap("scratch.MapSet", s.put(m, key, value))
}

func (s *Scratch) MapSetX(name, key string, value any) (string, error) {
	m, err := s.mapFor(name)
	if err != nil {
		return "", Wrap("scratch.MapSetX", err)
	}
	if _, found := m[key]; found {
		return "", nil
	}
	return "", Wrap("scratch.MapSetX", s.put(m, key, value))
}

// MapValues returns the values of a map by their keys, and none where there is no such map.
func (s *Scratch) MapValues(name string) []any {
	m, _ := s.values[name].(map[string]any)
	return sortedValues(m)
}

func (s *Scratch) mapFor(name string) (map[string]any, error) {
	s.SetX(name, make(map[string]any))
	m, ok := s.values[name].(map[string]any)
	if !ok {
		return nil, errors.New("the value with this name is not a map")
	}
	return m, nil
}

func sortedValues(m map[string]any) []any {
	values := make([]any, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		values = append(values, m[key])
	}
	return values
}
