package watch

import (
	"maps"
	"reflect"
	"slices"
)

// A value decides by itself what is the same: what else it holds means nothing to a template's reader (R3).
type same interface {
	// Same reports whether another value, which is of the same type and no nil pointer, means the same.
	Same(other any) bool
}

// Equal reports whether two answers mean the same to a template's reader (R3). Where a value, or the elements of a list, have
// a method Same(other any) bool, that decides; it is called with a value of the same type, and for no nil pointer. Else all
// of the value counts.
func Equal(a, b any) bool {
	if text, ok := a.(string); ok {
		return text == b
	}
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	if !va.IsValid() || !vb.IsValid() || va.Type() != vb.Type() {
		return !va.IsValid() && !vb.IsValid()
	}
	if va.Type().Implements(sameType) {
		return equalValues(va, vb)
	}
	if va.Kind() != reflect.Slice || !va.Type().Elem().Implements(sameType) {
		return reflect.DeepEqual(a, b)
	}
	if va.Len() != vb.Len() {
		return false
	}
	for i := range va.Len() {
		if !equalValues(va.Index(i), vb.Index(i)) {
			return false
		}
	}
	return true
}

var sameType = reflect.TypeFor[same]()

// equalValues compares values of one type, which implements same.
func equalValues(a, b reflect.Value) bool {
	if a.Kind() == reflect.Pointer && (a.IsNil() || b.IsNil()) {
		return a.IsNil() && b.IsNil()
	}
	return a.Interface().(same).Same(b.Interface())
}

// Same disregards what checks print, and indexes.
func (s *HealthService) Same(other any) bool {
	t := other.(*HealthService)
	return s.Node == t.Node && s.NodeID == t.NodeID && s.NodeAddress == t.NodeAddress &&
		s.Address == t.Address && s.ID == t.ID && s.Name == t.Name &&
		s.Status == t.Status && s.Port == t.Port && s.Weights == t.Weights &&
		maps.Equal(s.NodeTaggedAddresses, t.NodeTaggedAddresses) &&
		maps.Equal(s.NodeMeta, t.NodeMeta) &&
		maps.Equal(s.ServiceMeta, t.ServiceMeta) &&
		maps.Equal(s.ServiceTaggedAddresses, t.ServiceTaggedAddresses) &&
		slices.Equal(s.Tags, t.Tags) &&
		Equal(s.Checks, t.Checks)
}

// Same disregards what the check prints, and indexes.
func (c *HealthCheck) Same(other any) bool {
	x, y := *c, *other.(*HealthCheck)
	x.Output, x.CreateIndex, x.ModifyIndex = "", 0, 0
	y.Output, y.CreateIndex, y.ModifyIndex = "", 0, 0
	return reflect.DeepEqual(&x, &y)
}

// Same disregards indexes.
func (k *KeyPair) Same(other any) bool {
	x, y := *k, *other.(*KeyPair)
	x.CreateIndex, x.ModifyIndex, x.LockIndex = 0, 0, 0
	y.CreateIndex, y.ModifyIndex, y.LockIndex = 0, 0, 0
	return x == y
}

// Same disregards the times of the last messages.
func (p *Peering) Same(other any) bool {
	x, y := *p, *other.(*Peering)
	x.StreamStatus.LastHeartbeat, x.StreamStatus.LastReceive, x.StreamStatus.LastSend = nil, nil, nil
	y.StreamStatus.LastHeartbeat, y.StreamStatus.LastReceive, y.StreamStatus.LastSend = nil, nil, nil
	return reflect.DeepEqual(&x, &y)
}

// Same disregards indexes.
func (r *CARoot) Same(other any) bool {
	x, y := *r, *other.(*CARoot)
	x.CreateIndex, x.ModifyIndex = 0, 0
	y.CreateIndex, y.ModifyIndex = 0, 0
	return reflect.DeepEqual(&x, &y)
}

// Same disregards indexes.
func (l *LeafCert) Same(other any) bool {
	x, y := *l, *other.(*LeafCert)
	x.CreateIndex, x.ModifyIndex = 0, 0
	y.CreateIndex, y.ModifyIndex = 0, 0
	return reflect.DeepEqual(&x, &y)
}
