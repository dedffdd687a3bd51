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
	key   string // by which it is found
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
	tables := [3][]*setting{globalSettings, templateSettings, actionSettings}
	order := []int{0, 1, 2}
	if topic == topicTemplates { // what each template has comes first
		rows = append(rows, &row{about: templateFlag})
		order = []int{1, 0, 2}
	}
	for _, i := range order {
		for _, s := range tables[i] {
			if s.topic != topic {
				continue
			}
			key := cmp.Or(s.base, s.key) // what a template has at the top of files, too, is one row
			if i > 0 && s.base == "" && !isPart(key) {
				key = "template " + key
			}
			r := find(func(r *row) bool { return r.key == key && key != "" })
			r.key, r.keys[i] = key, s.key
			if r.about == nil || r.about.flag == "" {
				r.about = s
			}
		}
	}
	cells := [][]string{{"in a file", "in `template`", "in `action`", "flag", "environment", "default", "meaning"}, slices.Repeat([]string{"---"}, 7)}
	for _, r := range rows {
		cells = append(cells, r.cells())
	}
	return table(cells)
}

// cells returns what a row of a table says.
func (r *row) cells() []string {
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
		meaning = "without effect: " + r.about.idle
	}
	return []string{code(r.keys[0]), code(r.keys[1]), code(r.keys[2]), code(name), strings.Join(variables, ", "), shownDefault(r.about), meaning}
}

// table returns a table of its cells, the first of which are the headings, without the columns that have nothing in them.
func table(cells [][]string) string {
	var b strings.Builder
	for _, row := range cells {
		b.WriteString("|")
		for column, cell := range row {
			if slices.ContainsFunc(cells[2:], func(r []string) bool { return r[column] != "" }) {
				fmt.Fprintf(&b, " %s |", strings.ReplaceAll(cell, "|", `\|`))
			}
		}
		b.WriteString("\n")
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
