package fragment

import (
	"encoding/binary"
	"math"
	"reflect"

	"render/watch"
)

// A Key identifies values: equal keys are those of values that no template can tell apart. While a key is in use, what its
// Held returned must stay reachable: the key has the addresses of it.
//
// Texts, numbers and truth values are identified by what they are. Parts of answers never change, so pointers to them and
// lists of such pointers are identified by where they are; key pairs and names of services, which come anew with each change of
// their list, by what is in them. Other values, such as maps, have no key: a function may have changed them.
type Key struct {
	bytes []byte
	held  []any
}

// Reset empties the key.
func (k *Key) Reset() { k.bytes, k.held = k.bytes[:0], nil }

// Bytes returns the key. It is valid until the next change of the key.
func (k *Key) Bytes() []byte { return k.bytes }

// Held returns the values whose addresses are in the key.
func (k *Key) Held() []any { return k.held }

// Add adds a value to the key, and reports whether the value has a key.
func (k *Key) Add(v reflect.Value, answers Types) bool {
	if !v.IsValid() {
		k.number(0)
		return true
	}
	t := v.Type()
	k.number(uint64(reflect.ValueOf(t).Pointer())) // a type is where it is, for as long as the program runs
	switch kind := v.Kind(); {
	case kind == reflect.String:
		k.text(v.String())
	case kind == reflect.Bool:
		k.bool(v.Bool())
	case v.CanInt():
		k.number(uint64(v.Int()))
	case v.CanUint():
		k.number(v.Uint())
	case v.CanFloat():
		k.number(math.Float64bits(v.Float()))
	case kind == reflect.Interface && v.IsNil():
	case kind == reflect.Interface:
		return k.Add(v.Elem(), answers)
	case kind == reflect.Pointer && answers[t.Elem()]:
		k.pointer(v)
	case answers.IsList(t):
		k.number(uint64(v.Pointer()))
		k.number(uint64(v.Len()))
		k.held = append(k.held, v.Interface())
	default:
		return false
	}
	return true
}

func (k *Key) pointer(v reflect.Value) {
	if v.IsNil() {
		k.bytes = append(k.bytes, 0)
		return
	}
	switch part := v.Interface().(type) {
	case *watch.CatalogSnippet:
		k.bytes = append(k.bytes, 1)
		k.text(part.Name)
		k.bool(part.Tags == nil)
		k.number(uint64(len(part.Tags)))
		for _, tag := range part.Tags {
			k.text(tag)
		}
	case *watch.KeyPair:
		k.bytes = append(k.bytes, 1)
		for _, text := range []string{part.Path, part.Key, part.Value, part.Session} {
			k.text(text)
		}
		for _, n := range []uint64{part.CreateIndex, part.ModifyIndex, part.LockIndex, part.Flags} {
			k.number(n)
		}
	default:
		k.bytes = append(k.bytes, 2)
		k.number(uint64(v.Pointer()))
		k.held = append(k.held, part)
	}
}

func (k *Key) text(s string) {
	k.number(uint64(len(s)))
	k.bytes = append(k.bytes, s...)
}

func (k *Key) number(n uint64) { k.bytes = binary.LittleEndian.AppendUint64(k.bytes, n) }

func (k *Key) bool(b bool) {
	if b {
		k.bytes = append(k.bytes, 1)
	} else {
		k.bytes = append(k.bytes, 0)
	}
}

// Same reports whether two answers to a query are one and the same. Answers never change, so lists and pointers are the same
// if they are in the same place: a pass that used the one need not be repeated for the other. It may report false for
// answers that are equal.
func Same(a, b any) bool {
	switch x := a.(type) {
	case nil:
		return b == nil
	case string:
		y, ok := b.(string)
		return ok && x == y
	}
	v, w := reflect.ValueOf(a), reflect.ValueOf(b)
	if !w.IsValid() || v.Type() != w.Type() {
		return false
	}
	switch v.Kind() {
	case reflect.Slice:
		return v.Pointer() == w.Pointer() && v.Len() == w.Len()
	case reflect.Pointer:
		return v.Pointer() == w.Pointer()
	}
	return false
}
