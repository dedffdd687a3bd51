package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"render/cmd/render/ask"
	"render/cmd/render/logs"
	"render/render/status"

	"github.com/urfave/cli/v2"

	"render/watch/hint"
)

// askingCommands are the commands that ask a running render.
var askingCommands = []struct {
	name, usage, does string
	flags             []string
	run               func(a *asking, ctx context.Context) error
}{
	{"status", "status [--all] [--json] [--watch] [--socket PATH]", "what the running render does, and what it waits for", []string{"all", "json", "watch", "socket"}, (*asking).status},
	{"why", "why FILE [--all] [--json] [--socket PATH]", "why a file is as it is: its last changes and their causes", []string{"all", "json", "socket"}, (*asking).why},
	{"history", "history [FILE] [--json] [--limit N] [--socket PATH]", "the last commits of the running render", []string{"json", "limit", "socket"}, (*asking).history},
}

// askingFlags are the flags of these commands.
var askingFlags = map[string]string{
	"all": "print all of it, also what is long", "json": "print JSON", "watch": "print again whenever something changes",
	"limit": "print at most so many commits", "socket": "ask the render at this socket (default: " + strings.Join(ask.Sockets()[:1], "") + ", else render.sock in $XDG_RUNTIME_DIR)",
}

// asking is one use of such a command.
type asking struct {
	all, json, watch bool
	limit            int
	socket           string
	args             []string
	client           *ask.Client
	stdout           io.Writer
}

// commandsToAsk returns the commands for the library. Their flags may come before and after their arguments.
func commandsToAsk(stdout io.Writer) (all []*cli.Command) {
	for _, command := range askingCommands {
		all = append(all, &cli.Command{
			Name: command.name, SkipFlagParsing: true, HideHelp: true,
			Action: func(c *cli.Context) error {
				a, help, err := parseAsking(command.name, command.flags, c.Args().Slice())
				switch {
				case err != nil:
					return usageError{err}
				case help:
					return printAskingHelp(stdout, command.usage, command.does, command.flags)
				}
				a.stdout = stdout
				return command.run(a, c.Context)
			},
		})
	}
	return all
}

// parseAsking parses the arguments of a command.
func parseAsking(name string, flags, args []string) (a *asking, help bool, err error) {
	a = new(asking)
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range flags {
		switch f {
		case "all":
			set.BoolVar(&a.all, f, false, "")
		case "json":
			set.BoolVar(&a.json, f, false, "")
		case "watch":
			set.BoolVar(&a.watch, f, false, "")
		case "limit":
			set.IntVar(&a.limit, f, 0, "")
		case "socket":
			set.StringVar(&a.socket, f, "", "")
		}
	}
	for {
		err := set.Parse(args)
		switch {
		case errors.Is(err, flag.ErrHelp):
			return a, true, nil
		case err != nil:
			return nil, false, askingMistake(name, flags, err)
		case set.NArg() == 0:
			return a, false, nil
		}
		a.args, args = append(a.args, set.Arg(0)), set.Args()[1:]
	}
}

// askingMistake returns what is wrong with the flags of a command as render says it.
func askingMistake(name string, flags []string, err error) error {
	if unknown, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		err := hint.Withf(fmt.Errorf("%s: there is no flag --%s", name, unknown), "the flags are --%s", strings.Join(flags, ", --"))
		return hint.With(err, similarFlag(unknown, flags))
	}
	if missing, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
		return fmt.Errorf("%s: --%s needs a value", name, missing)
	}
	return fmt.Errorf("%s: %w", name, err)
}

func printAskingHelp(w io.Writer, usage, does string, flags []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "render %s\n\nPrints %s.\n\n", usage, does)
	for _, f := range flags {
		fmt.Fprintf(&b, "   --%s\n%s", f, wrapped(askingFlags[f], "        "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// clearScreen moves to the beginning of a terminal, and clears what follows.
const clearScreen = "\x1b[H\x1b[2J\x1b[3J"

// connect finds the running render.
func (a *asking) connect() (err error) {
	a.client, err = ask.NewClient(a.socket)
	return err
}

func (a *asking) status(ctx context.Context) error {
	if len(a.args) > 0 {
		return usageError{hint.With(errors.New("status: accepts no arguments"), "render why FILE explains a file")}
	}
	if err := a.connect(); err != nil {
		return err
	}
	print := func(s *status.Snapshot) error {
		if a.json {
			return a.printJSON(s)
		}
		return ask.Status{Snapshot: s, All: a.all, Now: time.Now()}.Print(logs.Escaped(a.stdout))
	}
	if !a.watch {
		s, err := a.client.Snapshot(ctx)
		if err != nil {
			return err
		}
		return print(s)
	}
	terminal := logs.Printable(a.stdout) != a.stdout
	return a.client.Follow(ctx, func(s *status.Snapshot) error {
		if terminal && !a.json {
			if _, err := io.WriteString(a.stdout, clearScreen); err != nil {
				return err
			}
		}
		err := print(s)
		if err == nil && !terminal && !a.json {
			_, err = fmt.Fprintln(a.stdout)
		}
		return err
	})
}

func (a *asking) why(ctx context.Context) error {
	if len(a.args) != 1 {
		return usageError{errors.New("why: needs the path of one file")}
	}
	if err := a.connect(); err != nil {
		return err
	}
	s, err := a.client.Snapshot(ctx)
	if err != nil {
		return err
	}
	commits, err := a.client.History(ctx)
	if err != nil {
		return err
	}
	why := ask.Why{File: a.args[0], Snapshot: s, Commits: commits, All: a.all, Now: time.Now()}
	if !a.json {
		return why.Print(logs.Escaped(a.stdout))
	}
	reason, err := why.Reason()
	if err != nil {
		return err
	}
	return a.printJSON(reason)
}

func (a *asking) history(ctx context.Context) error {
	if len(a.args) > 1 {
		return usageError{errors.New("history: accepts the path of at most one file")}
	}
	if err := a.connect(); err != nil {
		return err
	}
	commits, err := a.client.History(ctx)
	if err != nil {
		return err
	}
	if len(a.args) == 1 {
		path, err := filepath.Abs(a.args[0])
		if err != nil {
			return err
		}
		commits = ask.Of(commits, a.args[0], path)
	}
	if a.limit > 0 {
		commits = commits[:min(len(commits), a.limit)]
	}
	if a.json {
		return a.printJSON(commits)
	}
	return ask.PrintHistory(logs.Escaped(a.stdout), commits)
}

// printJSON prints a value: with --watch on one line.
func (a *asking) printJSON(value any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if !a.watch {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(value); err != nil {
		return err
	}
	_, err := io.WriteString(a.stdout, escapedJSON(text.String()))
	return err
}

// escapedJSON returns JSON with escapes for all characters that a terminal obeys or does not show: JSON has them in strings only.
func escapedJSON(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
	}
	return b.String()
}
