package funcs

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"runtime/metrics"
	"time"
	"unicode/utf8"
)

// A function refuses to make a value that exceeds Env.MaxSize, before it makes it, and all functions of an execution together
// must not hold much more than that. Data alone decides how large a result is, and strangers write data: a process that runs out
// of memory takes all templates with it.

// weighings is how often an execution is weighed until it has made Env.MaxSize: it can hold a part more than that.
const weighings = 4

const maxNesting = 1000 // lists and maps within each other that a function walks through

var errNesting = fmt.Errorf("lists and maps are nested more than %d levels deep", maxNesting)

// Begin is called when an execution begins.
func (e *Env) Begin() { e.made, e.weighed = 0, false }

// Make notes that a function makes a value of some bytes, and returns an error where that exceeds a bound or the execution
// is to end.
func (e *Env) Make(bytes int) error {
	if bytes > e.MaxSize || bytes < 0 {
		return e.errSize()
	}
	e.made += bytes
	if e.made > e.MaxSize/weighings {
		return e.weigh()
	}
	return nil
}

func (e *Env) errSize() error {
	return fmt.Errorf("the result exceeds %d bytes, the limit of a value", e.MaxSize)
}

// times is a product for Make that does not overflow.
func times(n, size int) int {
	if n > 0 && size > 0 && n > 1<<40/size {
		return 1 << 40
	}
	return max(n, 0) * max(size, 0)
}

// weigh finds out how much of what was made is still held. Most values are garbage when the next is made, so it collects garbage
// the first time, and then only where the heap, with its garbage, has grown beyond the bound.
func (e *Env) weigh() error {
	if err := e.Stopped(); err != nil {
		return err
	}
	e.made = 0
	if e.weighed && e.heap("/memory/classes/heap/objects:bytes")-e.heapFloor <= e.MaxSize {
		return nil
	}

	for range 2 { // what the pools of libraries have kept is garbage for the second collection only
		runtime.GC()
		live := e.heap("/gc/heap/live:bytes")
		if !e.weighed || live < e.heapFloor {
			e.weighed, e.heapFloor = true, live
		}
		if live-e.heapFloor <= e.MaxSize {
			return nil
		}
	}
	return fmt.Errorf("the values of this execution exceed %d bytes, the limit of all values", e.MaxSize)
}

// heap returns a metric of the heap, without the output.
func (e *Env) heap(metric string) int {
	sample := []metrics.Sample{{Name: metric}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64()) - e.Output()
}

// A measure adds up how long values are when they are printed.
type measure struct {
	left   int  // bytes until the bound
	pretty bool // each element stands on a line of its own, indented
	escape bool // characters can be escaped
	triple bool // a byte can become three
	names  int  // bytes for the name of a type beside each value

	deepest int // level that was met
}

var errMeasure = errors.New("the value is too large")

// measured returns about how many bytes values have in print, never less than they have, and an error beyond the bound.
func (e *Env) measured(m measure, values ...any) (int, error) {
	n, _, err := e.measuredDepth(m, values...)
	return n, err
}

// measuredDepth is measured, and also returns how many lists and maps are within each other.
func (e *Env) measuredDepth(m measure, values ...any) (n, depth int, err error) {
	m.left = e.MaxSize
	for _, v := range values {
		if err := m.value(reflect.ValueOf(v), 0); err != nil {
			if err == errMeasure {
				err = e.errSize()
			}
			return 0, 0, err
		}
	}
	return e.MaxSize - m.left, m.deepest, nil
}

var timeType = reflect.TypeFor[time.Time]()

func (m *measure) value(v reflect.Value, depth int) error {
	m.left -= 2 + m.names
	if m.pretty {
		m.left -= 2 * depth
	}
	m.deepest = max(m.deepest, depth)
	if m.left < 0 {
		return errMeasure
	}
	if depth > maxNesting {
		return errNesting
	}

	switch v.Kind() {
	case reflect.String:
		m.text(v.String(), depth)
	case reflect.Bool, reflect.Invalid:
		m.left -= 6
	case reflect.Float32, reflect.Float64:
		m.left -= 24
		if v.Type() == numberType {
			m.left -= 320 // in full
		}
	case reflect.Interface, reflect.Pointer:
		if !v.IsNil() {
			m.left += 2 + m.names
			return m.value(v.Elem(), depth+1)
		}
		m.left -= 6
	case reflect.Slice, reflect.Array:
		if e := v.Type().Elem().Kind(); e >= reflect.Bool && e <= reflect.Float64 {
			m.left -= v.Len() * (24 + m.names)
			if m.pretty {
				m.left -= v.Len() * 2 * (depth + 1)
			}
			break
		}
		for i := range v.Len() {
			if err := m.value(v.Index(i), depth+1); err != nil {
				return err
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if err := m.value(it.Key(), depth+1); err != nil {
				return err
			}
			if err := m.value(it.Value(), depth+1); err != nil {
				return err
			}
		}
	case reflect.Struct:
		if v.Type() == timeType {
			m.left -= 80
			break
		}
		for i := range v.NumField() {
			m.left -= len(v.Type().Field(i).Name) + 4
			if err := m.value(v.Field(i), depth+1); err != nil {
				return err
			}
		}
	default:
		m.left -= 24
	}
	if m.left < 0 {
		return errMeasure
	}
	return nil
}

func (m *measure) text(s string, depth int) {
	m.left -= len(s)
	if m.triple {
		m.left -= 2 * len(s)
	}
	if !m.escape && !m.pretty || m.left < 0 {
		return
	}
	for i, width := 0, 0; i < len(s) && m.left >= 0; i += width {
		r := rune(s[i])
		if width = 1; r >= utf8.RuneSelf {
			r, width = utf8.DecodeRuneInString(s[i:])
		}
		switch {
		case r == '\n':
			m.left -= 2
			if m.pretty {
				m.left -= 2 * depth
			}
		case r < ' ' || r == '"' || r == '\\' || r == '<' || r == '>' || r == '&' || r == 0x7f || r == '\'':
			m.left -= 5
		case r >= utf8.RuneSelf:
			m.left -= 10
		}
	}
}

// print makes a text of values, as far as the bounds allow.
func (e *Env) print(m measure, text func() string, values ...any) (string, error) {
	n, err := e.measured(m, values...)
	if err == nil {
		err = e.Make(n)
	}
	if err != nil {
		return "", err
	}
	return text(), nil
}
