package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"render/cmd/render/config"
	"render/cmd/render/logs"

	"github.com/urfave/cli/v2"

	"render/watch/hint"
)

// newApp returns the command line. Flags take one dash or two.
//
// The library finds the command, parses flags, and reports what is wrong with them. It does not print the help, which is made from
// the table of settings, and the flags are values of ours: see libraryFlag.
func newApp(signals *signalRouter, stdout io.Writer, stderr logs.Writer) *cli.App {
	flags, help := new(config.Flags), new(helpFlag)
	return &cli.App{
		Name:                      "render",
		Flags:                     append(flagsOfLibrary(flags), help),
		Commands:                  append(commandsToAsk(stdout), completionCommand(stdout), helpCommand(stdout), manualCommand(stdout)),
		HideVersion:               true,
		HideHelp:                  true,
		DisableSliceFlagSeparator: true,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              func(_ *cli.Context, err error, _ bool) error { return usageError{plainly(err)} },
		Action: func(c *cli.Context) error {
			switch args := c.Args().Slice(); {
			case help.asked:
				return printHelp(stdout, append(help.topic, args...))
			case c.Bool("version"):
				return printVersion(stdout)
			case len(args) > 0:
				return usageError{unexpected(args)}
			}
			p := newProgram(flags, signals, stdout, stderr)
			err := p.run(c.Context)
			p.close(err)
			return err
		},
	}
}

// plainly returns what the library finds wrong with a command line as render says it.
func plainly(err error) error {
	if name, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
		return fmt.Errorf("--%s needs a value", strings.TrimPrefix(name, "-"))
	}
	return err
}

// unexpected returns the error of arguments that belong to no flag, with a hint where the meaning can be guessed.
func unexpected(args []string) error {
	err := fmt.Errorf("extra args: %q", args)
	if _, no := strconv.ParseBool(args[0]); no == nil {
		return hint.Withf(err, "write the value of a switch after =, as in --once=%s", args[0])
	}
	if strings.Contains(args[0], ":") {
		return hint.Withf(err, "did you mean --template %s?", args[0])
	}
	return err
}
