package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"render/cmd/render/config"

	"github.com/urfave/cli/v2"
)

func manualCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name: "man",
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageError{errors.New("man: accepts no arguments")}
			}
			_, err := io.WriteString(stdout, manual())
			return err
		},
	}
}

// manual returns the manual page, in the language of troff.
func manual() string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH RENDER 1 \"\" \"render %s\"\n.SH NAME\nrender \\- keeps configuration files in sync with Consul\n.SH SYNOPSIS\n.nf\n%s\n.fi\n", version, troff(unindent(usageLines)))
	fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n.SH DESCRIPTION\n%s\n", troff(unindent(examples)),
		troff("One dash and two dashes are the same. Use =false to turn a flag off. Flags win over variables that begin with RENDER_. Then come CT_LOCAL_CONFIG, a variable whose text is a configuration file, files, and other variables. The key of a setting in configuration files is in brackets."))
	for _, topic := range config.Topics {
		fmt.Fprintf(&b, ".SH %s\n", strings.ToUpper(topic))
		if topic == config.TopicCompat {
			fmt.Fprintf(&b, "%s\n", troff(namesOf(topic)))
			continue
		}
		for _, s := range flagsOf(topic) {
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR", troff("--"+s.Flag))
			if operand := s.OperandName(); operand != "" {
				fmt.Fprintf(&b, " \\fI%s\\fR", troff(operand))
			}
			fmt.Fprintf(&b, "\n%s", troff(explain(s)))
			if s.Key != "" {
				fmt.Fprintf(&b, " [%s]", troff(s.Key))
			}
			b.WriteString("\n")
		}
	}
	b.WriteString(".SH ASK A RUNNING RENDER\n")
	for _, c := range askingCommands {
		fmt.Fprintf(&b, ".TP\n\\fBrender %s\\fR\nPrints %s.\n", troff(c.usage), troff(c.does))
	}
	b.WriteString(".SH EXIT STATUS\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, ".TP\n\\fB%s\\fR\n%s\n", e.code, troff(e.meaning))
	}
	return b.String()
}

// unindent removes the whitespace before each line.
func unindent(text string) string { return strings.ReplaceAll(text, "\n   ", "\n") }

// troff returns text that troff prints as it is.
func troff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...", "→", "\\(->").Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
