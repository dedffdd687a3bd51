package fragment

import (
	"reflect"
	"time"

	"render/watch"
)

// Types are struct types.
type Types map[reflect.Type]bool

// Answers are the types of answers whose values never change, and of what these are made of. A secret is not among them: a template can
// change its maps.
var Answers = StructTypes(
	watch.HealthService{}, watch.KeyPair{}, watch.Node{}, watch.CatalogNode{}, watch.CatalogSnippet{}, watch.Partition{},
	watch.Peering{}, watch.ExportedService{}, watch.ImportedService{}, watch.CARoot{}, watch.LeafCert{}, watch.PKICert{},
	watch.NomadSnippet{}, watch.NomadService{}, watch.NomadVar{}, watch.NomadVarMeta{},
)

// StructTypes returns the types of values, and of all structs that these hold, but not time.Time.
func StructTypes(values ...any) Types {
	types := make(Types)
	var add func(reflect.Type)
	add = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			add(t.Elem())
		case reflect.Struct:
			if types[t] || t == reflect.TypeFor[time.Time]() {
				return
			}
			types[t] = true
			for f := range t.Fields() {
				if f.IsExported() {
					add(f.Type)
				}
			}
		}
	}
	for _, v := range values {
		add(reflect.TypeOf(v))
	}
	return types
}

// IsList reports whether a type is that of a list of pointers to such structs.
func (t Types) IsList(list reflect.Type) bool {
	return list.Kind() == reflect.Slice && list.Elem().Kind() == reflect.Pointer && t[list.Elem().Elem()]
}
