package main

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of README.md anew")

// The tables of the reference are those of the definitions. To write them anew: go test ./cmd/render -run Reference -update.
func TestReference(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]string{"exit codes": exitTable(), "old names": oldTable(), "without effect": idleTable()}
	for _, topic := range topics[:len(topics)-1] {
		tables[topic] = topicTable(topic)
	}
	marked := regexp.MustCompile(`(?s)<!-- table: ([^>]*) -->\n.*?<!-- end -->`)
	got := marked.ReplaceAllStringFunc(string(text), func(found string) string {
		name := marked.FindStringSubmatch(found)[1]
		table, ok := tables[name]
		if !ok {
			t.Errorf("README.md wants a table %q, which there is not", name)
		}
		delete(tables, name)
		return fmt.Sprintf("<!-- table: %s -->\n%s<!-- end -->", name, table)
	})
	for name := range tables {
		t.Errorf("README.md does not have the table %q", name)
	}
	if got == string(text) {
		return
	}
	if !*update {
		t.Fatal("the tables of README.md are not those of the definitions; run go test ./cmd/render -run Reference -update")
	}
	if err := os.WriteFile("README.md", []byte(got), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A row is what a setting is called at the top of files, in template and action blocks, and on the command line.
type row struct {
	keys  [3]string
	about *setting
}

func topicTable(topic string) string {
	var rows []*row
	find := func(same func(*row) bool) *row {
		if i := slices.IndexFunc(rows, same); i >= 0 {
			return rows[i]
		}
		rows = append(rows, new(row))
		return rows[len(rows)-1]
	}
	for i, settings := range [][]*setting{slices.Concat([]*setting{templateFlag}, globalSettings), templateSettings, actionSettings} {
		for _, s := range settings {
			if s.topic != topic {
				continue
			}
			key := s.key
			switch {
			case s.base != "":
				key = s.base
			case i == 2 && !isPart(key): // of actions only, or as in templates
				key = "template " + key
			case i == 1 && !isPart(key):
				key = "template " + key
			}
			r := find(func(r *row) bool { return r.about != nil && (r.keys[0] == key || "template "+r.keys[1] == key) })
			r.keys[i] = s.key
			if r.about == nil {
				r.about = s
			}
		}
	}
	var b strings.Builder
	b.WriteString("| in a file | in `template` | in `action` | flag | environment | default | meaning |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		cells := []string{code(r.keys[0]), code(r.keys[1]), code(r.keys[2])}
		name := ""
		if r.about.flag != "" {
			name = strings.TrimSpace("--" + r.about.flag + " " + operandOf(r.about))
		}
		var variables []string
		for _, v := range variablesOf(r.about) {
			variables = append(variables, code(v))
		}
		meaning := r.about.meaning
		if r.about.idle != "" {
			meaning = strings.TrimSpace("without effect: " + r.about.idle)
		}
		cells = append(cells, code(name), strings.Join(variables, ", "), shownDefault(r.about), meaning)
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	return b.String()
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func shownDefault(s *setting) string {
	switch {
	case s.other != "":
		return s.other
	case s.def == "false":
		return "off"
	case s.def == "true":
		return "on"
	}
	return code(s.def)
}

func exitTable() string {
	var b strings.Builder
	b.WriteString("| code | meaning |\n|---|---|\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "| %s | %s |\n", e.code, e.meaning)
	}
	return b.String()
}

func oldTable() string {
	var b strings.Builder
	b.WriteString("| old | now |\n|---|---|\n")
	for _, block := range slices.Sorted(maps.Keys(oldKeys)) {
		for _, old := range slices.Sorted(maps.Keys(oldKeys[block])) {
			prefix := ""
			if block != "" {
				prefix = block + " "
			}
			fmt.Fprintf(&b, "| `%s%s` | `%s%s` |\n", prefix, old, prefix, oldKeys[block][old])
		}
	}
	for _, old := range slices.Sorted(maps.Keys(oldFlags)) {
		fmt.Fprintf(&b, "| `--%s` | `--%s` |\n", old, oldFlags[old])
	}
	return b.String()
}

func idleTable() string {
	byReason := make(map[string][]string)
	for _, s := range compatSettings {
		byReason[s.idle] = append(byReason[s.idle], code(s.key))
		if s.flag != "" {
			byReason[s.idle] = append(byReason[s.idle], code("--"+s.flag))
		}
	}
	var b strings.Builder
	b.WriteString("| settings | why |\n|---|---|\n")
	for _, reason := range slices.SortedFunc(maps.Keys(byReason), func(a, b string) int {
		return cmp.Or(-cmp.Compare(len(byReason[a]), len(byReason[b])), cmp.Compare(a, b))
	}) {
		fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(byReason[reason], ", "), reason)
	}
	return b.String()
}
