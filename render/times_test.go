package render

import (
	"testing"
	"time"
)

func TestEarlier(t *testing.T) {
	var never time.Time
	one := time.Unix(1, 0)
	two := time.Unix(2, 0)
	for _, test := range []struct{ a, b, want time.Time }{
		{never, never, never}, {one, never, one}, {never, one, one}, {one, two, one}, {two, one, one},
	} {
		if got := earlier(test.a, test.b); !got.Equal(test.want) {
			t.Errorf("earlier(%v, %v) = %v, want %v", test.a, test.b, got, test.want)
		}
	}
}
