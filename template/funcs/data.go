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

// dataFuncs are the functions that bring lists and maps into another form. They share what is in the values that they are
// given, and change none but the first map of mergeMap and mergeMapWithOverride. No answer is or has such a map.
var dataFuncs = map[string]any{
	"byKey":  byKey,
	"byMeta": byMeta,
	"byPort": byPort,
	"byTag":  byTag,
	"containsAll": func(needles, list any) (bool, error) {
		n, all, err := found("containsAll", needles, list)
		return n == all, err
	},
	"containsAny": func(needles, list any) (bool, error) {
		n, _, err := found("containsAny", needles, list)
		return n > 0, err
	},
	"containsNone": func(needles, list any) (bool, error) {
		n, _, err := found("containsNone", needles, list)
		return n == 0, err
	},
	"containsNotAll": func(needles, list any) (bool, error) {
		n, all, err := found("containsNotAll", needles, list)
		return n < all, err
	},
	"explode":    explode,
	"explodeMap": explodeMap,
	"loop":       loop,
	"mergeMap":   func(dst, src map[string]any) (map[string]any, error) { return mergeMaps("mergeMap", dst, src) },
	"mergeMapWithOverride": func(dst, src map[string]any) (map[string]any, error) {
		return mergeMaps("mergeMapWithOverride", dst, src, mergo.WithOverride)
	},
}

// byKey groups keys by their first element. Those that have only one are left out.
func byKey(pairs []*watch.KeyPair) map[string]map[string]*watch.KeyPair {
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
	return groups
}

func byPort(services any) (map[int][]any, error) {
	groups := make(map[int][]any)
	err := eachWith("byPort", services, "Port", reflect.TypeFor[int](), func(item any, port reflect.Value) {
		groups[int(port.Int())] = append(groups[int(port.Int())], item)
	})
	return groups, err
}

func byTag(services any) (map[string][]any, error) {
	groups := make(map[string][]any)
	err := eachWith("byTag", services, "Tags", reflect.TypeFor[watch.ServiceTags](), func(item any, tags reflect.Value) {
		for _, tag := range tags.Interface().(watch.ServiceTags) {
			groups[tag] = append(groups[tag], item)
		}
	})
	return groups, err
}

// eachWith visits a list of pointers to structs that have a field of a type.
func eachWith(function string, list any, field string, fieldType reflect.Type, visit func(item any, value reflect.Value)) error {
	if list == nil {
		return nil
	}
	v := reflect.ValueOf(list)
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Pointer && v.Type().Elem().Elem().Kind() == reflect.Struct {
		if f, ok := v.Type().Elem().Elem().FieldByName(field); ok && f.Type == fieldType {
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
func byMeta(keys string, services []*watch.HealthService) (map[string][]*watch.HealthService, error) {
	groups := make(map[string][]*watch.HealthService)
	for _, service := range services {
		var parts []string
		for _, key := range strings.Split(keys, ",") {
			key, kind, typed := strings.Cut(key, "|")
			value := service.ServiceMeta[key]
			switch {
			case typed && kind != "int":
				return nil, Wrap("byMeta", errors.New("a key can be followed by |int, and by nothing else"))
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
func found(function string, needles, list any) (n, all int, err error) {
	v, err := listOf(needles)
	if err != nil {
		return 0, 0, Wrap(function, err)
	}
	for i := range v.Len() {
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

func explode(pairs []*watch.KeyPair) (map[string]any, error) {
	root := make(map[string]any)
	for _, pair := range pairs {
		if err := putBelow(root, pair.Key, pair.Value); err != nil {
			return nil, Wrap("explode", err)
		}
	}
	return root, nil
}

func explodeMap(flat map[string]any) (map[string]any, error) {
	root := make(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(flat)) {
		if err := putBelow(root, key, deepCopy(flat[key])); err != nil {
			return nil, Wrap("explodeMap", err)
		}
	}
	return root, nil
}

// putBelow stores a value under a path of keys. A path that ends with a slash makes the maps only.
func putBelow(root map[string]any, path string, value any) error {
	for {
		key, rest, more := strings.Cut(path, "/")
		if !more {
			if key != "" {
				root[key] = value
			}
			return nil
		}
		if _, ok := root[key]; !ok {
			root[key] = make(map[string]any)
		}
		below, ok := root[key].(map[string]any)
		if !ok {
			return errors.New("not a map: what has keys below it already has a value")
		}
		root, path = below, rest
	}
}

// mergeMaps changes dst. It puts copies into it, so that a later change of dst is none of src, and no map holds itself.
func mergeMaps(function string, dst, src map[string]any, options ...func(*mergo.Config)) (map[string]any, error) {
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

var errSelf = errors.New("a map cannot hold itself")

// put stores a value in a map, which must not hold itself then: to print such a map would take for ever.
func put(m map[string]any, key string, value any) error {
	if holds(reflect.ValueOf(value), reflect.ValueOf(m).Pointer()) {
		return errSelf
	}
	m[key] = value
	return nil
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
func loop(bounds ...any) ([]int64, error) {
	if len(bounds) < 1 || len(bounds) > 2 {
		return nil, Wrap("loop", fmt.Errorf("takes one or two numbers, not %d", len(bounds)))
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
		return nil, Wrap("loop", fmt.Errorf("has more than %d steps", maxLoop))
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
	return 0, fmt.Errorf("this %T is not a whole number", v)
}
