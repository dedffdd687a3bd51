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

	"render/cmd/render/config"
)

var update = flag.Bool("update", false, "write the tables of the documents anew")

// The tables of the documents are those of the definitions. To write them anew: go test ./cmd/render -run Reference -update.
func TestReference(t *testing.T) {
	tables := map[string]string{"exit codes": exitTable(), "old names": oldTable(), "without effect": idleTable()}
	for _, topic := range config.Topics[:len(config.Topics)-1] {
		tables[topic] = topicTable(topic)
	}
	for _, path := range []string{"README.md", "MOVING.md"} {
		text := readAll(t, path)
		got := generatedTable.ReplaceAllStringFunc(text, func(found string) string {
			name := generatedTable.FindStringSubmatch(found)[1]
			table, ok := tables[name]
			if !ok {
				t.Errorf("%s wants a table %q, which does not exist", path, name)
			}
			delete(tables, name)
			return fmt.Sprintf("<!-- table: %s -->\n%s<!-- end -->", name, table)
		})
		if got == text {
			continue
		}
		if !*update {
			t.Errorf("the tables of %s are not those of the definitions; run go test ./cmd/render -run Reference -update", path)
		} else if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Error(err)
		}
	}
	for name := range tables {
		t.Errorf("no document has the table %q", name)
	}
}

var generatedTable = regexp.MustCompile(`(?s)<!-- table: ([^>]*) -->\n.*?<!-- end -->`)

// A row is what a setting is called at the top of files, in template and action blocks, and on the command line.
type row struct {
	key   string // by which it is found
	keys  [3]string
	about *config.Setting
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
	tables := [3][]*config.Setting{config.Global(), config.Template(), config.Action()}
	order := []int{0, 1, 2}
	if topic == config.TopicTemplates { // what each template has comes first
		rows = append(rows, &row{about: config.WithFlags()[0]})
		order = []int{1, 0, 2}
	}
	for _, i := range order {
		for _, s := range tables[i] {
			if s.Topic != topic {
				continue
			}
			key := cmp.Or(s.Base, s.Key) // what a template has at the top of files, too, is one row
			if i > 0 && s.Base == "" && !config.IsPart(key) {
				key = "template " + key
			}
			r := find(func(r *row) bool { return r.key == key && key != "" })
			r.key, r.keys[i] = key, s.Key
			if r.about == nil || r.about.Flag == "" {
				r.about = s
			}
		}
	}
	cells := [][]string{{"in a file", "in `template`", "in `action`", "flag", "environment", "type", "default", "meaning"}, slices.Repeat([]string{"---"}, 8)}
	for _, r := range rows {
		cells = append(cells, r.cells())
	}
	return table(cells)
}

// cells returns what a row of a table says.
func (r *row) cells() []string {
	name := ""
	if r.about.Flag != "" {
		name = strings.TrimSpace("--" + r.about.Flag + " " + r.about.OperandName())
	}
	var variables []string
	for _, v := range r.about.Variables() {
		variables = append(variables, code(v))
	}
	meaning := r.about.Meaning
	if r.about.Idle != "" {
		meaning = "Without effect: " + r.about.Idle
	}
	return []string{code(r.keys[0]), code(r.keys[1]), code(r.keys[2]), code(name), strings.Join(variables, ", "), r.about.Type(), shownDefault(r.about), meaning}
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

func shownDefault(s *config.Setting) string {
	switch {
	case s.DefaultText != "":
		return s.DefaultText
	case s.Default == "false":
		return "off"
	case s.Default == "true":
		return "on"
	}
	return code(s.Default)
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
	for _, block := range slices.Sorted(maps.Keys(config.OldKeys)) {
		for _, old := range slices.Sorted(maps.Keys(config.OldKeys[block])) {
			prefix := ""
			if block != "" {
				prefix = block + " "
			}
			fmt.Fprintf(&b, "| `%s%s` | `%s%s` |\n", prefix, old, prefix, config.OldKeys[block][old])
		}
	}
	for _, old := range slices.Sorted(maps.Keys(config.OldFlags)) {
		fmt.Fprintf(&b, "| `--%s` | `--%s` |\n", old, config.OldFlags[old])
	}
	return b.String()
}

func idleTable() string {
	byReason := make(map[string][]string)
	for _, s := range config.Compat() {
		key, flag := code(s.Key), ""
		if s.Flag != "" {
			flag = code("--" + s.Flag)
		}
		for _, name := range []string{key, flag} {
			if name != "" && !slices.Contains(byReason[s.Idle], name) {
				byReason[s.Idle] = append(byReason[s.Idle], name)
			}
		}
	}
	var b strings.Builder
	b.WriteString("| settings | reason |\n|---|---|\n")
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(byReason[reason], ", "), reason)
	}
	return b.String()
}
