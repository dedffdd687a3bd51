package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"render/render"
	"render/watch"
)

const version = "0.1.0"

const description = `A template is text in Go's template language with functions that ask Consul; with each change of what it
asked for, its file is rendered again, swapped in at once, and its command is run.

   render --template upstreams.ctmpl:/etc/nginx/conf.d/upstreams.conf:"nginx -s reload"
   render --once --template in.ctmpl:out.conf
   render --fixture catalog.yaml --template in.ctmpl:out.conf:"echo reloaded"`

// newApp returns the command line. Flags take one dash or two.
func newApp(stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:        "render",
		Usage:       "keeps configuration files true to Consul",
		UsageText:   "render [flags] --template SOURCE:DESTINATION[:COMMAND] ...",
		Description: description,
		Flags:       flags(),

		HideVersion:               true,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true,
		CustomAppHelpTemplate:     helpTemplate(),
		Writer:                    stdout,
		ErrWriter:                 stderr,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              func(_ *cli.Context, err error, _ bool) error { return usageError{err} },
		Action:                    func(c *cli.Context) error { return start(c, stdout, stderr) },
	}
}

// helpTemplate returns the help, with each flag on two lines: one for its name, one for its meaning.
func helpTemplate() string {
	var b strings.Builder
	b.WriteString("{{.Name}} {{.Usage}}\n\nUsage:\n   {{.UsageText}}\n\n{{.Description}}\n\nFlags:\n")
	for _, f := range flags() {
		name, meaning, _ := strings.Cut(cli.FlagStringer(f), "\t")
		name, _, _ = strings.Cut(name, " [ ") // what may be repeated is named twice
		fmt.Fprintf(&b, "   %s\n        %s\n", name, meaning)
	}
	b.WriteString("\nExit codes: 0 done or stopped, 13 wrong usage, 14 failed; with --exec that of the program.\n")
	return b.String()
}

func flags() []cli.Flag {
	return slices.Concat(mainFlags(), actionFlags(), guardFlags(), consulFlags())
}

func mainFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{
			Name:  "template",
			Usage: "render `SOURCE:DESTINATION[:COMMAND]`: the first two colons separate, the rest belongs to the command, which sh runs; repeatable",
		},
		&cli.StringSliceFlag{
			Name:  "partials",
			Usage: "`PATH` of a file, or of a folder of files, whose templates all others can use by name; repeatable",
		},
		&cli.BoolFlag{
			Name:    "trim-blocks",
			Usage:   "lines of templates that hold only actions without output, as if, range and end, leave no empty line",
			EnvVars: []string{"RENDER_TRIM_BLOCKS"},
		},
		&cli.StringFlag{
			Name:    "fixture",
			Usage:   "ask a YAML `FILE` in place of Consul",
			EnvVars: []string{"RENDER_FIXTURE"},
		},
		&cli.BoolFlag{
			Name:    "once",
			Usage:   "render everything once, all files or none, and end",
			EnvVars: []string{"RENDER_ONCE"},
		},
		&cli.DurationFlag{
			Name:        "timeout",
			Usage:       "with --once: give up after this `DURATION`, as in 30s",
			DefaultText: "none",
			EnvVars:     []string{"RENDER_TIMEOUT"},
		},
		&cli.BoolFlag{
			Name:    "dry",
			Usage:   "print what would be written; write and run nothing",
			EnvVars: []string{"RENDER_DRY"},
		},
		&cli.StringFlag{
			Name:    "wait",
			Usage:   "let changes collect for `MIN[:MAX]`: until nothing has changed for MIN, at most for MAX (default of MAX: four times MIN)",
			EnvVars: []string{"RENDER_WAIT"},
		},
		&cli.StringFlag{
			Name:    "log-level",
			Usage:   "least `LEVEL` to log: trace, debug, info, warn or err",
			Value:   "info",
			EnvVars: []string{"CT_LOG", "CONSUL_TEMPLATE_LOG", "CONSUL_TEMPLATE_LOG_LEVEL"},
		},
		&cli.StringFlag{
			Name:    "log-format",
			Usage:   "`FORMAT` of the log: text or json",
			Value:   "text",
			EnvVars: []string{"RENDER_LOG_FORMAT"},
		},
		&cli.BoolFlag{
			Name:    "version",
			Aliases: []string{"v"},
			Usage:   "print the version",
		},
	}
}

// start reads the flags and runs the engine.
func start(c *cli.Context, stdout, stderr io.Writer) error {
	if c.Bool("version") {
		_, err := fmt.Fprintf(stdout, "render v%s\n", version)
		return err
	}
	if c.NArg() > 0 {
		return usageError{fmt.Errorf("extra args: %q", c.Args().Slice())}
	}
	logs := newLogs(stderr)
	defer logs.Close()
	if err := logs.apply(logSettings{Level: c.String("log-level"), Format: c.String("log-format")}); err != nil {
		return usageError{err}
	}
	log := logs.logger()
	// What libraries print, as net/http does of connections that end oddly, is of use to developers only.
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(log.Handler(), slog.LevelDebug).Writer())
	cfg, err := newConfig(c, stdout)
	if err != nil {
		return usageError{err}
	}
	cfg.Log = log
	return runEngine(c.Context, c, cfg)
}

func runEngine(ctx context.Context, c *cli.Context, cfg render.Config) error {
	notify := takeNotify(cfg.Log)
	files, err := watch.NewFiles()
	if err != nil {
		return err
	}
	defer files.Close()
	src := watch.ByKind{watch.KindFile: files}
	if path := c.String("fixture"); path != "" {
		if src[""], err = watch.NewFixture(files, path); err != nil {
			return err
		}
	} else {
		settings, err := newConsulConfig(c, cfg.Log)
		if err != nil {
			return usageError{err}
		}
		consul, err := watch.NewConsul(settings)
		if err != nil {
			return err
		}
		defer consul.Close()
		src[""] = consul
	}
	engine, err := render.New(src, cfg)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(ended)
	if notify != nil {
		wg.Go(func() { notify.follow(ctx, engine, ended) })
	}
	wg.Go(func() { forward(engine, !cfg.Exec.Command.IsZero(), ended) })
	return engine.Run(ctx)
}

// newConfig turns flags into the engine's configuration.
func newConfig(c *cli.Context, stdout io.Writer) (render.Config, error) {
	cfg := render.Config{Once: c.Bool("once"), Env: injected(c)}
	var err error
	if cfg.Asking, err = newAsking(c); err != nil {
		return cfg, err
	}
	if c.Bool("dry") {
		cfg.Dry = stdout
	}
	specs := c.StringSlice("template")
	if len(specs) == 0 && !cfg.Once {
		return cfg, errors.New("there is nothing to render: give --template SOURCE:DESTINATION[:COMMAND]")
	}
	if cfg.Timeout = c.Duration("timeout"); cfg.Timeout < 0 || cfg.Timeout > 0 && !cfg.Once {
		return cfg, errors.New("--timeout bounds a run with --once, and is more than 0")
	}
	for _, spec := range specs {
		t, err := parseTemplateSpec(spec)
		if err != nil {
			return cfg, err
		}
		t.Partials, t.TrimBlocks = c.StringSlice("partials"), c.Bool("trim-blocks")
		cfg.Targets = append(cfg.Targets, t)
	}
	if err := setGuards(c, cfg.Targets); err != nil {
		return cfg, err
	}
	if err := setActions(c, &cfg); err != nil {
		return cfg, err
	}
	if s := c.String("wait"); s != "" {
		var err error
		if cfg.Implied.Wait, err = parseWait(s); err != nil {
			return cfg, err
		}
	}
	return cfg, cfg.Validate()
}

// parseTemplateSpec reads SOURCE[:DESTINATION[:COMMAND]]. Whatever follows the second colon is the command.
func parseTemplateSpec(spec string) (render.Target, error) {
	if strings.Trim(spec, ": ") == "" {
		return render.Target{}, errors.New("template: cannot be empty; give SOURCE:DESTINATION[:COMMAND]")
	}
	parts := strings.SplitN(spec, ":", 3)
	parts = append(parts, "", "")
	if parts[0] == "" {
		return render.Target{}, fmt.Errorf("template %q: has no source; give SOURCE:DESTINATION[:COMMAND]", spec)
	}
	return render.Target{Source: parts[0], Destination: parts[1], Command: parseCommand(parts[2])}, nil
}

// parseWait reads MIN[:MAX].
func parseWait(s string) (render.Wait, error) {
	least, most, both := strings.Cut(s, ":")
	var w render.Wait
	var err error
	if w.Min, err = time.ParseDuration(least); err != nil {
		return w, fmt.Errorf("wait %q: %w; give MIN[:MAX] with units, as in 2s:10s", s, err)
	}
	w.Max = 4 * w.Min
	if both {
		if w.Max, err = time.ParseDuration(most); err != nil {
			return w, fmt.Errorf("wait %q: %w; give MIN[:MAX] with units, as in 2s:10s", s, err)
		}
	}
	return w, nil
}

// injected returns the settings that commands and templates find in their environment because a flag has them.
func injected(c *cli.Context) []string {
	var env []string
	for flag, name := range map[string]string{
		"consul-addr":       "CONSUL_HTTP_ADDR",
		"consul-token":      "CONSUL_HTTP_TOKEN",
		"consul-token-file": "CONSUL_HTTP_TOKEN_FILE",
	} {
		if value := c.String(flag); value != "" {
			env = append(env, name+"="+value)
		}
	}
	slices.Sort(env)
	return env
}
