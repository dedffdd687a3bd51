package config

import (
	"slices"
	"testing"
)

// Each setting that has an effect of its own has a field, of the type that its kind makes; a field without a setting panics.
func TestFields(t *testing.T) {
	for _, tt := range []struct {
		schema *schema
		layout *layout
	}{{topSchema, globalLayout()}, {templateSchema, templateLayout()}, {actionSchema, actionLayout()}} {
		for key, s := range tt.schema.settings {
			has := slices.ContainsFunc(tt.layout.fields, func(f field) bool { return f.setting == s })
			isDefault := tt.schema == topSchema && slices.Contains(defaultSettings, s) // of templates and actions, whose fields have it
			if wants := s.spread == nil && s.Idle == "" && !isDefault; has != wants && !(has && isDefault) {
				t.Errorf("%s %s: has a field: %t", tt.schema.block, key, has)
			}
		}
		if len(tt.layout.byOffset) != len(tt.layout.fields) {
			t.Errorf("%s: %d fields at %d places", tt.schema.block, len(tt.layout.fields), len(tt.layout.byOffset))
		}
	}
}
