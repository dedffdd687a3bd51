// Package hint attaches hints to errors: what a reader can do about an error. The text of the error does not have the hint, so
// that the text can be wrapped, and stays one line. Whoever shows the error shows the hint on a line of its own, or in a field.
package hint

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An Error is an error with a hint. A type of another package is one, too, if it has the method Hint, or the method Hints
// for several.
type Error struct {
	error
	hint string
}

// Unwrap returns the error without the hint.
func (e *Error) Unwrap() error { return e.error }

// Hint returns the hint.
func (e *Error) Hint() string { return e.hint }

// With returns an error with a hint: one line, without a full stop, that is clear without the error. An empty hint adds nothing.
func With(err error, hint string) error {
	if err == nil || hint == "" {
		return err
	}
	return &Error{err, hint}
}

// Withf is With for a hint with a format.
func Withf(err error, format string, args ...any) error {
	return With(err, fmt.Sprintf(format, args...))
}

// Of returns the hints of an error and of all that it wraps, each once.
func Of(err error) (hints []string) {
	if err == nil {
		return nil
	}
	if h, ok := err.(interface{ Hint() string }); ok && h.Hint() != "" {
		hints = append(hints, h.Hint())
	}
	if h, ok := err.(interface{ Hints() []string }); ok {
		hints = append(hints, h.Hints()...)
	}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		hints = append(hints, Of(err.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, e := range err.Unwrap() {
			hints = append(hints, Of(e)...)
		}
	}
	return unique(hints)
}

// Text returns the text of an error with its hints, each on a line of its own. Where the error is several joined ones, the hints of
// each stand below it.
func Text(err error) string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all := joined.Unwrap()
		if same := errors.Join(all...); same != nil && same.Error() == err.Error() {
			var texts []string
			for _, e := range all {
				texts = append(texts, Text(e))
			}
			return strings.Join(texts, "\n")
		}
	}
	return err.Error() + Lines(err)
}

// Lines returns the hints of an error as lines, each after a newline.
func Lines(err error) string {
	var b strings.Builder
	for _, h := range Of(err) {
		b.WriteString("\nhint: " + h)
	}
	return b.String()
}

// unique returns texts without those that are there before.
func unique(texts []string) []string {
	var all []string
	for _, text := range texts {
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}
