package fragment

import (
	"reflect"
	"testing"
	"time"

	"render/watch"
)

var answers = Types{
	reflect.TypeFor[watch.HealthService](): true, reflect.TypeFor[watch.CatalogSnippet](): true, reflect.TypeFor[watch.KeyPair](): true,
}

func keyOf(t *testing.T, v any) string {
	t.Helper()
	var k Key
	if !k.Add(reflect.ValueOf(v), answers) {
		t.Fatalf("%#v has no key", v)
	}
	return string(k.Bytes())
}

// Values that a template can tell apart have different keys.
func TestKeysDiffer(t *testing.T) {
	type named string
	one, other := &watch.HealthService{}, &watch.HealthService{}
	list := []*watch.HealthService{one, other}
	values := []any{
		nil, "", "a", named("a"), "ab", 1, int64(1), uint(1), 1.0, float32(1), true, false, 'x', time.Second,
		one, other, (*watch.HealthService)(nil), (*watch.CatalogSnippet)(nil),
		list, list[:1], list[1:], []*watch.HealthService(nil), []*watch.HealthService{},
		&watch.CatalogSnippet{}, &watch.CatalogSnippet{Tags: watch.ServiceTags{}}, &watch.CatalogSnippet{Tags: watch.ServiceTags{"ab"}},
		&watch.CatalogSnippet{Tags: watch.ServiceTags{"a", "b"}}, &watch.CatalogSnippet{Name: "a", Tags: watch.ServiceTags{"b"}},
	}
	seen := make(map[string]any)
	for _, v := range values {
		key := keyOf(t, v)
		if earlier, found := seen[key]; found {
			t.Errorf("%T %v has the key of %T %v", v, v, earlier, earlier)
		}
		seen[key] = v
		if again := keyOf(t, v); again != key {
			t.Errorf("%T %v has two keys", v, v)
		}
	}
}

// Names of services and key pairs have the keys of what is in them: each field.
func TestKeysByContents(t *testing.T) {
	for _, v := range []any{watch.CatalogSnippet{}, watch.KeyPair{}} {
		typ := reflect.TypeOf(v)
		empty := reflect.New(typ)
		if keyOf(t, empty.Interface()) != keyOf(t, reflect.New(typ).Interface()) {
			t.Errorf("two that are equal have different keys: %s", typ)
		}
		for i := range typ.NumField() {
			changed := reflect.New(typ)
			switch f := changed.Elem().Field(i); {
			case f.Kind() == reflect.String:
				f.SetString("x")
			case f.CanUint():
				f.SetUint(1)
			case f.Type() == reflect.TypeFor[watch.ServiceTags]():
				f.Set(reflect.ValueOf(watch.ServiceTags{"x"}))
			default:
				t.Fatalf("%s: what is another %s?", typ, typ.Field(i).Name)
			}
			if keyOf(t, empty.Interface()) == keyOf(t, changed.Interface()) {
				t.Errorf("the key of a %s disregards %s", typ, typ.Field(i).Name)
			}
		}
	}
}

// What a function may change has no key. An interface has that of what it holds, but is not the same.
func TestKeysMissing(t *testing.T) {
	for _, v := range []any{
		map[string]any{}, []any{1}, []string{"a"}, [1]int{}, struct{}{}, watch.HealthService{}, new(int), &struct{}{},
		[]*int{}, func() {}, time.Time{}, &watch.Node{}, 1i,
	} {
		if new(Key).Add(reflect.ValueOf(v), answers) {
			t.Errorf("%T has a key", v)
		}
	}
	element := reflect.ValueOf([]any{"a"}).Index(0)
	var inside, outside Key
	if !inside.Add(element, answers) || !outside.Add(element.Elem(), answers) || string(inside.Bytes()) == string(outside.Bytes()) {
		t.Error("an element of a list of anything has the key of a text")
	}
}

// A key holds what its addresses are of, and nothing else.
func TestKeysHold(t *testing.T) {
	one := &watch.HealthService{}
	list := []*watch.HealthService{one}
	var k Key
	for _, v := range []any{"a", one, &watch.CatalogSnippet{}, list} {
		k.Add(reflect.ValueOf(v), answers)
	}
	if held := k.Held(); len(held) != 2 || held[0] != any(one) || reflect.ValueOf(held[1]).Pointer() != reflect.ValueOf(list).Pointer() {
		t.Errorf("held are %v", held)
	}
	if k.Reset(); len(k.Bytes()) != 0 || k.Held() != nil {
		t.Error("a reset does not empty the key")
	}
}

// Answers are the same only if there is nothing to tell them apart.
func TestSame(t *testing.T) {
	one, other := &watch.CatalogNode{}, &watch.CatalogNode{}
	list := []string{"a", "b"}
	values := []any{nil, "", "a", "b", one, other, (*watch.CatalogNode)(nil), list, list[:1], list[1:], []string{}, []string(nil), []int{}}
	for i, a := range values {
		for j, b := range values {
			if Same(a, b) != (i == j) {
				t.Errorf("Same(%T %v, %T %v) is %t", a, a, b, b, i != j)
			}
		}
	}
	if a := any(map[string]int{}); Same(a, a) || Same(1, 1) {
		t.Error("values of unknown kinds are the same")
	}
}
