package watch

import (
	"fmt"
	"testing"
)

// parity is a value of the package's users: what is even is the same.
type parity int

func (p parity) Same(other any) bool { return p%2 == other.(parity)%2 }

// The value decides what is the same, also within a list, and is asked about its own type alone.
func TestSameDecides(t *testing.T) {
	key := &KeyPair{Path: "k"}
	tests := []struct {
		a, b any
		want bool
	}{
		{parity(1), parity(3), true},
		{parity(1), parity(2), false},
		{parity(1), 1, false},
		{parity(1), nil, false},
		{[]parity{1, 2}, []parity{3, 4}, true},
		{[]parity{1, 2}, []parity{3}, false},
		{[]parity{1, 2}, []parity{4, 3}, false},
		{[]parity{}, []parity(nil), true},
		{[]parity{}, nil, false},
		{&lease{password: "a", id: 1}, &lease{password: "a", id: 2}, true},
		{&lease{password: "a"}, &lease{password: "b"}, false},
		{(*lease)(nil), &lease{}, false},
		{(*lease)(nil), (*lease)(nil), true},
		{[]*KeyPair{nil}, []*KeyPair{nil}, true},
		{[]*KeyPair{nil}, []*KeyPair{key}, false},
		{[]*KeyPair{key, nil}, []*KeyPair{key, key}, false},
		{[]*HealthService{{Checks: HealthChecks{nil}}}, []*HealthService{{Checks: HealthChecks{nil}}}, true},
		{[]*HealthService{{Checks: HealthChecks{nil}}}, []*HealthService{{Checks: HealthChecks{{}}}}, false},
		{map[string]any{"a": 1}, map[string]any{"a": 1}, true},
		{map[string]any{"a": 1}, map[string]any{"a": 2}, false},
	}
	for _, test := range tests {
		for _, swapped := range []bool{false, true} {
			if swapped {
				test.a, test.b = test.b, test.a
			}
			if got := Equal(test.a, test.b); got != test.want {
				t.Errorf("%v and %v: got %v", test.a, test.b, got)
			}
		}
	}
}

func BenchmarkEqual(b *testing.B) {
	list := func() (list []*KeyPair) {
		for i := range 10_000 {
			list = append(list, &KeyPair{Path: fmt.Sprint("app/key/", i), Key: fmt.Sprint(i), Value: "value"})
		}
		return list
	}
	one, other := list(), list()
	for b.Loop() {
		if !Equal(one, other) {
			b.Fatal("not equal")
		}
	}
}
