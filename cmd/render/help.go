package main

import (
	"fmt"
	"strings"

	"render/cmd/render/config"
)

const usageLines = `render [flags] --template SOURCE:DESTINATION[:COMMAND] ...
   render [flags] --config PATH ...
   render completion bash|zsh|fish
   render man`

const description = `A template is text in Go's template language with functions that ask Consul; with each change of what it
asked for, its file is rendered again, swapped in at once, and its command is run.

   render --template upstreams.ctmpl:/etc/nginx/conf.d/upstreams.conf:"nginx -s reload"
   render --once --template in.ctmpl:out.conf
   render --fixture catalog.yaml --template in.ctmpl:out.conf:"echo reloaded"
   render --config /etc/render.d
   render --source in.ctmpl --destination out.conf --perms 0640 --check "nginx -t" --command "nginx -s reload"`

// exitCodes are what the exit codes mean.
var exitCodes = []struct{ code, meaning string }{
	{"0", "done, or stopped"},
	{"13", "a mistake on the command line or in the environment"},
	{"14", "failed: a template or another file that the start needs is at fault, or with once not all was applied"},
	{"15", "a mistake in the configuration, or a log that cannot be opened"},
	{"other", "with exec, the supervised program's own; 128 and the number of the signal that has killed it"},
}

// helpText returns the help: the flags by topic, each with its meaning, its default and its variables.
func helpText() string {
	var b strings.Builder
	fmt.Fprintf(&b, "render keeps configuration files in sync with Consul\n\nUsage:\n   %s\n\n%s\n", usageLines, description)
	b.WriteString("\nOne dash or two make no difference. =false turns a flag off. A flag wins over $CT_LOCAL_CONFIG, that over files, and those over other variables.\n")
	for _, topic := range config.Topics {
		fmt.Fprintf(&b, "\n%s:\n", topic)
		if topic == config.TopicCompat {
			b.WriteString(wrapped(namesOf(topic), "   "))
			continue
		}
		for _, s := range flagsOf(topic) {
			fmt.Fprintf(&b, "   %s\n%s", strings.TrimSpace("--"+s.Flag+" "+s.OperandName()), wrapped(explain(s), "        "))
		}
	}
	b.WriteString("\nOther:\n   --version, -v\n        print the version\n   --help, -h\n        print this\n\nExit codes:\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "   %-6s %s\n", e.code, e.meaning)
	}
	return escapeTemplate(b.String())
}

// escapeTemplate makes the help library, which takes its text for a template, print it as it is.
func escapeTemplate(text string) string { return strings.ReplaceAll(text, "{{", `{{"{{"}}`) }

func flagsOf(topic string) []*config.Setting {
	var all []*config.Setting
	for _, s := range config.WithFlags() {
		if s.Topic == topic {
			all = append(all, s)
		}
	}
	return all
}

func namesOf(topic string) string {
	var names []string
	for _, s := range flagsOf(topic) {
		names = append(names, "--"+s.Flag)
	}
	return strings.Join(names, ", ")
}

// explain returns what a setting means, its default and its variables, for a terminal.
func explain(s *config.Setting) string {
	text := strings.ReplaceAll(s.Meaning, "`", "")
	if s.Idle != "" {
		text = strings.TrimSpace(text + " Without effect: " + s.Idle)
	}
	if d := defaultOf(s); d != "" {
		text += " (default: " + d + ")"
	}
	for _, name := range s.Variables() {
		text += " [$" + name + "]"
	}
	return text
}

// defaultOf returns the default of a setting, for people; "" where nothing is.
func defaultOf(s *config.Setting) string {
	switch {
	case s.DefaultText != "":
		return s.DefaultText
	case s.IsSwitch() && s.Default == "false":
		return ""
	}
	return s.Default
}

// wrapped returns a text in lines of a width that fits into a terminal, each with an indent.
func wrapped(text, indent string) string {
	const width = 110
	var b strings.Builder
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line)+len(word) >= width && strings.TrimSpace(line) != "" {
			fmt.Fprintln(&b, strings.TrimRight(line, " "))
			line = indent
		}
		line += word + " "
	}
	fmt.Fprintln(&b, strings.TrimRight(line, " "))
	return b.String()
}
