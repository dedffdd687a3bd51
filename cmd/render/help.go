package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"render/cmd/render/config"
	"render/template"

	"render/watch/hint"
)

const usageLines = `render [flags] --template SOURCE:DESTINATION[:COMMAND] ...
   render [flags] --config PATH ...
   render status|why FILE|history
   render help [TOPIC]
   render completion bash|zsh|fish
   render man`

const examples = `render --template upstreams.ctmpl:/etc/nginx/conf.d/upstreams.conf:"nginx -s reload"
   render --once --template in.ctmpl:out.conf
   render --fixture catalog.yaml --dry --template in.ctmpl:out.conf
   render --config /etc/render.d
   render --source in.ctmpl --destination out.conf --check "nginx -t" --command "nginx -s reload"`

// shortHelp is all that most people need.
const shortHelp = `render keeps configuration files in sync with Consul

Usage:
   ` + usageLines + `

Examples:
   ` + examples + `

The flags that most people use:
   --template SPEC        render SOURCE:DESTINATION[:COMMAND]; repeat the flag for more files
   --config PATH          read a configuration file, or a folder of files
   --once                 render all files once, then exit
   --timeout DURATION     with --once: fail after this time
   --dry                  print what render would write, and change nothing
   --parse-only           test the configuration and the templates, then exit
   --check COMMAND        restore the previous files if this command fails
   --command COMMAND      run this command after the file of --destination has changed
   --exec COMMAND         start and supervise a program when all files exist
   --fixture FILE         use the data of a YAML file in place of Consul
   --consul-addr ADDRESS  address of the Consul agent (default: localhost:8500)
   --consul-token TOKEN   ACL token; $CONSUL_HTTP_TOKEN hides it from other users
   --log-level LEVEL      lowest level to log: trace, debug, info, warn or err
   --version, -v          print the version

"render help all" explains every flag. "render help TOPIC" explains the flags of a topic:
`

// helpTopics are the words for topics.
var helpTopics = []struct{ word, topic string }{
	{"templates", config.TopicTemplates}, {"running", config.TopicRun}, {"pace", config.TopicPace}, {"actions", config.TopicActions},
	{"files", config.TopicFiles}, {"exec", config.TopicExec}, {"consul", config.TopicConsul}, {"tls", config.TopicTLS},
	{"transport", config.TopicTransport}, {"vault", config.TopicVault}, {"vault-tls", config.TopicVaultTLS}, {"nomad", config.TopicNomad}, {"nomad-tls", config.TopicNomadTLS}, {"log", config.TopicLog}, {"listen", config.TopicListen}, {"compat", config.TopicCompat}, {exitTopic, ""},
}

const exitTopic = "exit"

// topicWords returns the words that the help takes.
func topicWords() []string {
	words := []string{"all"}
	for _, t := range helpTopics {
		words = append(words, t.word)
	}
	return words
}

// printHelp prints the help: for no word the short one, else about a topic, or all.
func printHelp(w io.Writer, about []string) error {
	text := ""
	switch {
	case len(about) > 1:
		return usageError{errors.New("help: more than one topic")}
	case len(about) == 0:
		text = shortHelp + wrapped(strings.Join(topicWords()[1:], ", "), "   ")
	case about[0] == "all":
		text = helpText()
	case about[0] == exitTopic:
		text = exitText()
	default:
		i := slices.IndexFunc(helpTopics, func(t struct{ word, topic string }) bool { return t.word == about[0] })
		if i < 0 {
			return usageError{unknownTopic(about[0])}
		}
		text = topicText(helpTopics[i].topic)
	}
	_, err := io.WriteString(w, text)
	return err
}

// helpCommand is render help, with a topic or without.
func unknownTopic(word string) error {
	err := hint.Withf(fmt.Errorf("help: there is no topic %q", word), "the topics are %s", strings.Join(topicWords(), ", "))
	return hint.With(err, template.Suggestion(word, topicWords()))
}

func helpCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:   "help",
		Action: func(c *cli.Context) error { return printHelp(stdout, c.Args().Slice()) },
	}
}

// A helpFlag is --help, to which a topic can be given.
type helpFlag struct {
	asked bool
	topic []string
}

func (f *helpFlag) String() string   { return "" }
func (f *helpFlag) IsBoolFlag() bool { return true }

// Set takes a topic after a =, or "true" without one. The library sets the other name of the flag to what String returns.
func (f *helpFlag) Set(text string) error {
	f.asked = true
	if _, err := strconv.ParseBool(text); err != nil && text != "" {
		f.topic = []string{text}
	}
	return nil
}

// Apply implements cli.Flag.
func (f *helpFlag) Apply(set *flag.FlagSet) error {
	for _, name := range f.Names() {
		set.Var(f, name, "")
	}
	return nil
}

// Names implements cli.Flag.
func (f *helpFlag) Names() []string { return []string{"help", "h"} }

// IsSet implements cli.Flag.
func (f *helpFlag) IsSet() bool { return f.asked }

// exitCodes are what the exit codes mean.
var exitCodes = []struct{ code, meaning string }{
	{"0", "success, or stopped by a signal"},
	{"13", "mistake on the command line or in the environment"},
	{"14", "failure: a template or another file that the start needs is wrong, or with once not everything was applied"},
	{"15", "mistake in the configuration, or a log that cannot be opened"},
	{"other", "with exec: exit code of the supervised program, or 128 plus the number of the signal that killed it"},
}

// helpText returns all of the help: the flags by topic, each with its meaning, its default and its variables.
func helpText() string {
	var b strings.Builder
	fmt.Fprintf(&b, "render keeps configuration files in sync with Consul\n\nUsage:\n   %s\n\nExamples:\n   %s\n", usageLines, examples)
	b.WriteString("\nOne dash and two dashes are the same. Use =false to turn a flag off. Flags win over variables that begin with RENDER_. Then come $CT_LOCAL_CONFIG, files and other variables.\n")
	for _, topic := range config.Topics {
		if topic == config.TopicCompat {
			b.WriteString("\nAsk a running render; \"render status --help\" explains the flags:\n")
			for _, c := range askingCommands {
				fmt.Fprintf(&b, "   render %s\n%s", c.usage, wrapped("prints "+c.does, "        "))
			}
			b.WriteString("\nOther:\n   --version, -v\n        print the version\n   --help, -h\n        print the short help\n\n" + exitText())
		}
		b.WriteString("\n" + topicText(topic))
	}
	return b.String()
}

// topicText returns the help about the flags of a topic. Those without effect are a list.
func topicText(topic string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:\n", topic)
	if topic == config.TopicCompat {
		return b.String() + wrapped(namesOf(topic), "   ")
	}
	for _, s := range flagsOf(topic) {
		fmt.Fprintf(&b, "   %s\n%s", strings.TrimSpace("--"+s.Flag+" "+s.OperandName()), wrapped(explain(s), "        "))
	}
	return b.String()
}

func exitText() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "   %-6s %s\n", e.code, e.meaning)
	}
	return b.String()
}

// flagsOf returns the settings of a topic that have flags. All without effect are of the last topic.
func flagsOf(topic string) []*config.Setting {
	var all []*config.Setting
	for _, s := range config.WithFlags() {
		if idle := s.Idle != ""; topic == config.TopicCompat && idle || topic == s.Topic && !idle {
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
