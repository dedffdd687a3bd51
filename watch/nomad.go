package watch

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// NomadSnippet is the name of a service of Nomad and all tags that its instances have.
type NomadSnippet struct {
	Name string
	Tags ServiceTags
}

// NomadService is one instance of a service of Nomad.
type NomadService struct {
	ID         string
	Name       string
	Node       string // the ID of the node
	Address    string
	Port       int
	Datacenter string
	Tags       ServiceTags
	JobID      string
	AllocID    string
}

// NomadTime is a time in nanoseconds of Unix time. It prints as a time of the local zone; in JSON it is the number.
type NomadTime int64

// Time returns the time.
func (t NomadTime) Time() time.Time { return time.Unix(0, int64(t)) }

// String returns the time as a template prints it.
func (t NomadTime) String() string { return t.Time().String() }

// NomadVarMeta is what is known of a variable without its items. It prints as the path.
type NomadVarMeta struct {
	Namespace   string
	Path        string
	CreateIndex uint64
	ModifyIndex uint64
	CreateTime  NomadTime
	ModifyTime  NomadTime
}

// String returns the path.
func (m NomadVarMeta) String() string { return m.Path }

// NomadVar is a variable of Nomad. It prints as its path.
type NomadVar struct {
	Namespace   string
	Path        string
	CreateIndex uint64
	ModifyIndex uint64
	CreateTime  NomadTime
	ModifyTime  NomadTime
	Items       NomadItems
}

// NewNomadVar returns a variable with the values of its items by key.
func NewNomadVar(meta NomadVarMeta, values map[string]string) *NomadVar {
	v := &NomadVar{
		Namespace: meta.Namespace, Path: meta.Path, CreateIndex: meta.CreateIndex, ModifyIndex: meta.ModifyIndex,
		CreateTime: meta.CreateTime, ModifyTime: meta.ModifyTime, Items: make(NomadItems, len(values)),
	}
	parent := func() *NomadVar { return v }
	for key, value := range values {
		v.Items[key] = NomadItem{Key: key, Value: value, parent: parent}
	}
	return v
}

// String returns the path.
func (v *NomadVar) String() string { return v.Path }

// Metadata returns what is known of the variable without its items.
func (v *NomadVar) Metadata() *NomadVarMeta {
	return &NomadVarMeta{v.Namespace, v.Path, v.CreateIndex, v.ModifyIndex, v.CreateTime, v.ModifyTime}
}

// Same compares values and metadata.
func (v *NomadVar) Same(other any) bool {
	w := other.(*NomadVar)
	return *v.Metadata() == *w.Metadata() && maps.EqualFunc(v.Items, w.Items, func(a, b NomadItem) bool { return a.Value == b.Value })
}

// NomadItem is one value of a variable. It prints as the value, and is the value in JSON.
type NomadItem struct {
	Key    string
	Value  string
	parent func() *NomadVar // no pointer: who walks through the items would walk in a circle
}

// String returns the value.
func (i NomadItem) String() string { return i.Value }

// IsMissing reports whether the item is what a template gets for a key that the variable does not have: the zero value.
func (i NomadItem) IsMissing() bool { return i.parent == nil }

// MarshalJSON returns the value as a text of JSON.
func (i NomadItem) MarshalJSON() ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // who encodes what the item is part of decides that
	err := encoder.Encode(i.Value)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}

// Metadata returns what is known of the variable that the item is part of.
func (i NomadItem) Metadata() *NomadVarMeta {
	if i.parent == nil {
		return nil
	}
	return i.parent().Metadata()
}

// Parent returns the variable that the item is part of.
func (i NomadItem) Parent() *NomadVar {
	if i.parent == nil {
		return nil
	}
	return i.parent()
}

// NomadItems are the values of a variable by key. Its methods return them sorted by key.
type NomadItems map[string]NomadItem

// Keys returns the keys.
func (i NomadItems) Keys() []string { return slices.Sorted(maps.Keys(i)) }

// Values returns the values.
func (i NomadItems) Values() []string {
	values := make([]string, 0, len(i))
	for _, key := range i.Keys() {
		values = append(values, i[key].Value)
	}
	return values
}

// NomadTuple is a key with its value.
type NomadTuple struct{ K, V string }

// Tuples returns the keys with their values.
func (i NomadItems) Tuples() []NomadTuple {
	tuples := make([]NomadTuple, 0, len(i))
	for _, key := range i.Keys() {
		tuples = append(tuples, NomadTuple{key, i[key].Value})
	}
	return tuples
}

// ItemsMap returns the values as functions for maps take them. It is nil where there are none.
func (i NomadItems) ItemsMap() map[string]any {
	if len(i) == 0 {
		return nil
	}
	values := make(map[string]any, len(i))
	for key, item := range i {
		values[key] = item.Value
	}
	return values
}

// Metadata returns what is known of the variable, or nil where there are no items.
func (i NomadItems) Metadata() *NomadVarMeta {
	if v := i.Parent(); v != nil {
		return v.Metadata()
	}
	return nil
}

// Parent returns the variable, or nil where there are no items.
func (i NomadItems) Parent() *NomadVar {
	for _, item := range i {
		return item.Parent()
	}
	return nil
}

// KeepNomadTag keeps the instances that have a tag; all where it is empty. It uses up the list.
func KeepNomadTag(list []*NomadService, tag string) []*NomadService {
	return slices.DeleteFunc(list, func(s *NomadService) bool { return tag != "" && !slices.Contains(s.Tags, tag) })
}

// SortNomadSnippets sorts a list by name.
func SortNomadSnippets(list []*NomadSnippet) {
	slices.SortStableFunc(list, func(a, b *NomadSnippet) int { return strings.Compare(a.Name, b.Name) })
}
