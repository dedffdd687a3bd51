package funcs

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dario.cat/mergo"

	"render/watch"
)

// boundedDataFuncs are the functions that bring lists and maps into another form. They share what is in the values that they
// are given, and change none but the first map of mergeMap and mergeMapWithOverride. No answer is or has such a map.
var boundedDataFuncs = map[string]func(*Env) any{
	"byKey":  func(e *Env) any { return e.byKey },
	"byMeta": func(e *Env) any { return e.byMeta },
	"byPort": func(e *Env) any { return e.byPort },
	"byTag":  func(e *Env) any { return e.byTag },
	"containsAll": func(e *Env) any {
		return func(needles, list any) (bool, error) {
			n, all, err := e.found("containsAll", needles, list)
			return n == all, err
		}
	},
	"containsAny": func(e *Env) any {
		return func(needles, list any) (bool, error) {
			n, _, err := e.found("containsAny", needles, list)
			return n > 0, err
		}
	},
	"containsNone": func(e *Env) any {
		return func(needles, list any) (bool, error) {
			n, _, err := e.found("containsNone", needles, list)
			return n == 0, err
		}
	},
	"containsNotAll": func(e *Env) any {
		return func(needles, list any) (bool, error) {
			n, all, err := e.found("containsNotAll", needles, list)
			return n < all, err
		}
	},
	"explode":    func(e *Env) any { return e.explode },
	"explodeMap": func(e *Env) any { return e.explodeMap },
	"loop":       func(e *Env) any { return e.loop },
	"mergeMap": func(e *Env) any {
		return func(dst, src map[string]any) (map[string]any, error) { return e.mergeMaps("mergeMap", dst, src) }
	},
	"mergeMapWithOverride": func(e *Env) any {
		return func(dst, src map[string]any) (map[string]any, error) {
			return e.mergeMaps("mergeMapWithOverride", dst, src, mergo.WithOverride)
		}
	},
}

// byKey groups keys by their first element. Those that have only one are left out.
func (e *Env) byKey(pairs []*watch.KeyPair) (map[string]map[string]*watch.KeyPair, error) {
	if err := e.Make(times(len(pairs), 400)); err != nil {
		return nil, Wrap("byKey", err)
	}
	groups := make(map[string]map[string]*watch.KeyPair)
	for _, pair := range pairs {
		top, rest, _ := strings.Cut(pair.Key, "/")
		if rest == "" {
			continue
		}
		if groups[top] == nil {
			groups[top] = make(map[string]*watch.KeyPair)
		}
		below := *pair
		below.Key = rest
		groups[top][rest] = &below
	}
	return groups, nil
}

func (e *Env) byPort(services any) (map[int][]any, error) {
	groups := make(map[int][]any)
	err := e.eachWith("byPort", services, "Port", reflect.TypeFor[int](), func(item any, port reflect.Value) {
		groups[int(port.Int())] = append(groups[int(port.Int())], item)
	})
	return groups, err
}

func (e *Env) byTag(services any) (map[string][]any, error) {
	groups := make(map[string][]any)
	err := e.eachWith("byTag", services, "Tags", reflect.TypeFor[watch.ServiceTags](), func(item any, tags reflect.Value) {
		for _, tag := range tags.Interface().(watch.ServiceTags) {
			groups[tag] = append(groups[tag], item)
		}
	})
	return groups, err
}

// eachWith visits a list of pointers to structs that have a field of a type.
func (e *Env) eachWith(function string, list any, field string, fieldType reflect.Type, visit func(item any, value reflect.Value)) error {
	if list == nil {
		return nil
	}
	v := reflect.ValueOf(list)
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Pointer && v.Type().Elem().Elem().Kind() == reflect.Struct {
		if f, ok := v.Type().Elem().Elem().FieldByName(field); ok && f.Type == fieldType {
			if err := e.Make(times(v.Len(), 64)); err != nil {
				return Wrap(function, err)
			}
			for i := range v.Len() {
				visit(v.Index(i).Interface(), v.Index(i).Elem().FieldByIndex(f.Index))
			}
			return nil
		}
	}
	return Wrap(function, fmt.Errorf("wrong argument type %T", list))
}

var notInGroupName = regexp.MustCompile(`[^0-9A-Za-z_-]`)

// byMeta groups instances by the values of some keys of their metadata, joined by "_". A key with "|int" stands for a
// number of five digits.
func (e *Env) byMeta(keys string, services []*watch.HealthService) (map[string][]*watch.HealthService, error) {
	if err := e.Make(times(len(services), 2*len(keys)+64)); err != nil {
		return nil, Wrap("byMeta", err)
	}
	groups := make(map[string][]*watch.HealthService)
	for _, service := range services {
		var parts []string
		for _, key := range strings.Split(keys, ",") {
			key, kind, typed := strings.Cut(key, "|")
			value := service.ServiceMeta[key]
			switch {
			case typed && kind != "int":
				return nil, Wrap("byMeta", errors.New("only |int can follow a key"))
			case typed:
				n := 0
				if value != "" {
					var err error
					if n, err = strconv.Atoi(value); err != nil {
						return nil, Wrap("byMeta", errors.New("the value of a key with |int is not a whole number"))
					}
				}
				value = fmt.Sprintf("%05d", n)
			case value == "":
				value = "_no_" + key + "_"
			}
			parts = append(parts, notInGroupName.ReplaceAllString(value, "_"))
		}
		name := strings.Join(parts, "_")
		groups[name] = append(groups[name], service)
	}
	return groups, nil
}

// found counts which of some needles are in a list.
func (e *Env) found(function string, needles, list any) (n, all int, err error) {
	v, err := listOf(needles)
	if err != nil {
		return 0, 0, Wrap(function, err)
	}
	for i := range v.Len() {
		if err := e.Stopped(); err != nil {
			return 0, 0, Wrap(function, err)
		}
		ok, err := in(list, v.Index(i).Interface())
		if err != nil {
			return 0, 0, err
		}
		if ok {
			n++
		}
	}
	return n, v.Len(), nil
}

func (e *Env) explode(pairs []*watch.KeyPair) (map[string]any, error) {
	root := make(map[string]any)
	for _, pair := range pairs {
		if err := e.putBelow(root, pair.Key, pair.Value); err != nil {
			return nil, Wrap("explode", err)
		}
	}
	return root, nil
}

func (e *Env) explodeMap(flat map[string]any) (map[string]any, error) {
	if err := e.canCopy(flat); err != nil {
		return nil, Wrap("explodeMap", err)
	}
	root := make(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(flat)) {
		if err := e.putBelow(root, key, deepCopy(flat[key])); err != nil {
			return nil, Wrap("explodeMap", err)
		}
	}
	return root, nil
}

// maxLevels is how many maps explode makes within each other. To print a map takes its depth times its length.
const maxLevels = 100

// putBelow stores a value under a path of keys. A path that ends with a slash makes the maps only.
func (e *Env) putBelow(root map[string]any, path string, value any) error {
	if strings.Count(path, "/") > maxLevels {
		return fmt.Errorf("a key has more than %d levels", maxLevels)
	}
	for {
		key, rest, more := strings.Cut(path, "/")
		if !more {
			if key != "" {
				root[key] = value
			}
			return nil
		}
		if _, ok := root[key]; !ok {
			if err := e.Make(320); err != nil {
				return err
			}
			root[key] = make(map[string]any)
		}
		below, ok := root[key].(map[string]any)
		if !ok {
			return errors.New("not a map: a key has both a value and keys below it")
		}
		root, path = below, rest
	}
}

// mergeMaps changes dst. It puts copies into it, so that a later change of dst does not change src, and no map holds itself.
func (e *Env) mergeMaps(function string, dst, src map[string]any, options ...func(*mergo.Config)) (map[string]any, error) {
	for _, m := range []map[string]any{dst, src} {
		if err := e.canCopy(m); err != nil {
			return nil, Wrap(function, err)
		}
	}
	if dst == nil {
		dst = make(map[string]any)
	}
	if err := mergo.Merge(&dst, deepCopy(src), options...); err != nil {
		return nil, Wrap(function, withoutValues(err))
	}
	return dst, nil
}

// deepCopy copies the maps and lists that functions can change.
func deepCopy[T any](v T) T {
	switch v := any(v).(type) {
	case []any:
		list := slices.Clone(v)
		for i := range list {
			list[i] = deepCopy(list[i])
		}
		return any(list).(T)
	case map[string]any:
		m := maps.Clone(v)
		for key := range m {
			m[key] = deepCopy(m[key])
		}
		return any(m).(T)
	}
	return v
}

// Copy copies a map, so that functions which change it leave the original alone.
func (e *Env) Copy(m map[string]any) (map[string]any, error) {
	if err := e.canCopy(m); err != nil {
		return nil, err
	}
	return deepCopy(m), nil
}

// canCopy returns an error where a value is too large or too deep to be walked through and copied.
func (e *Env) canCopy(values ...any) error {
	n, err := e.measured(measure{names: 30}, values...)
	if err != nil {
		return err
	}
	return e.Make(n)
}

var errSelf = errors.New("a map cannot hold itself")

// put stores a value in a map, which must not hold itself then: to print such a map would take for ever.
func (e *Env) put(m map[string]any, key string, value any) error {
	if _, err := e.measured(measure{}, value); err != nil {
		return err
	}
	if holds(reflect.ValueOf(value), reflect.ValueOf(m).Pointer()) {
		return errSelf
	}
	m[key] = value
	return e.Make(len(key) + 64)
}

func holds(v reflect.Value, m uintptr) bool {
	switch v.Kind() {
	case reflect.Interface:
		return holds(v.Elem(), m)
	case reflect.Map:
		if v.Pointer() == m {
			return true
		}
		for _, key := range v.MapKeys() {
			if holds(v.MapIndex(key), m) {
				return true
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if holds(v.Index(i), m) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if holds(v.Field(i), m) {
				return true
			}
		}
	}
	return false
}

const maxLoop = 10_000_000

// loop returns the whole numbers from 0, or from the first argument, to before the last.
func (e *Env) loop(bounds ...any) ([]int64, error) {
	if len(bounds) < 1 || len(bounds) > 2 {
		return nil, Wrap("loop", fmt.Errorf("accepts one or two numbers, not %d", len(bounds)))
	}
	var ends [2]int64
	for i, bound := range bounds {
		n, err := whole(bound)
		if err != nil {
			return nil, Wrap("loop", err)
		}
		ends[2-len(bounds)+i] = n
	}
	from, to := ends[0], ends[1]
	if from >= to {
		return nil, nil
	}
	if uint64(to)-uint64(from) > maxLoop {
		return nil, Wrap("loop", fmt.Errorf("the loop has more than %d steps", maxLoop))
	}
	if err := e.Make(8 * int(to-from)); err != nil {
		return nil, Wrap("loop", err)
	}
	list := make([]int64, 0, to-from)
	for n := from; n < to; n++ {
		list = append(list, n)
	}
	return list, nil
}

func whole(v any) (int64, error) {
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return r.Int(), nil
	case r.CanUint() && int64(r.Uint()) >= 0:
		return int64(r.Uint()), nil
	case r.Kind() == reflect.String && r.String() == "":
		return 0, nil
	case r.Kind() == reflect.String:
		if n, err := strconv.ParseInt(r.String(), 10, 64); err == nil {
			return n, nil
		}
	case r.IsValid() && r.Type() == numberType && r.Float() == float64(int64(r.Float())):
		return int64(r.Float()), nil
	}
	return 0, fmt.Errorf("a value of the type %T is not a whole number", v)
}
