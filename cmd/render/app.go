package main

import (
	"fmt"
	"io"
	"strconv"

	"render/cmd/render/config"
	"render/cmd/render/logs"

	"github.com/urfave/cli/v2"
)

const version = "0.1.0"

// newApp returns the command line. Flags take one dash or two.
func newApp(desk *desk, stdout io.Writer, stderr logs.Writer) *cli.App {
	flags := new(config.Flags)
	return &cli.App{
		Name:                      "render",
		Flags:                     flagsOfLibrary(flags),
		Commands:                  []*cli.Command{completionCommand(stdout), manualCommand(stdout)},
		HideVersion:               true,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true,
		CustomAppHelpTemplate:     helpText(),
		Writer:                    stdout,
		ErrWriter:                 stderr,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              func(_ *cli.Context, err error, _ bool) error { return usageError{err} },
		Action: func(c *cli.Context) error {
			if c.Bool("version") {
				_, err := fmt.Fprintf(stdout, "render v%s\n", version)
				return err
			}
			if c.NArg() > 0 {
				err := fmt.Errorf("extra args: %q", c.Args().Slice())
				if _, no := strconv.ParseBool(c.Args().First()); no == nil {
					err = fmt.Errorf("%w; a flag that is on or off takes that behind a sign: --once=%s", err, c.Args().First())
				}
				return usageError{err}
			}
			p := newProgram(flags, desk, stdout, stderr)
			err := p.run(c.Context)
			p.close(err)
			return err
		},
	}
}
