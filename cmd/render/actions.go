package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"render/render"
)

// actionFlags are all that concerns what happens when files change, and how they are written.
func actionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name:    "check",
			Usage:   "`COMMAND` that must like the files, or they do not stay; with {} in it, it gets the path of each file before the swap, else it runs after it",
			EnvVars: []string{"RENDER_CHECK"},
		},
		&cli.StringFlag{
			Name:    "verify",
			Usage:   "`COMMAND` or URL that must succeed soon after the command, or the old files come back",
			EnvVars: []string{"RENDER_VERIFY"},
		},
		&cli.IntFlag{Name: "verify-status", Usage: "`STATUS` that the URL of --verify has to answer", Value: 200},
		&cli.DurationFlag{Name: "verify-within", Usage: "`DURATION` in which --verify has to succeed", Value: render.DefaultVerifyWithin},
		&cli.DurationFlag{Name: "command-timeout", Usage: "`DURATION` that a command or check may take", Value: render.DefaultTimeout},
		&cli.DurationFlag{Name: "splay", Usage: "pause for a random part of this `DURATION` before a command", DefaultText: "none"},
		&cli.StringFlag{
			Name:  "signal",
			Usage: "send a signal after the command, or in its place: `NAME:PROCESS`, as in HUP:/run/nginx.pid or HUP:nginx",
		},
		&cli.StringFlag{Name: "perms", Usage: "`MODE` of the files, as in 0640", DefaultText: "that of the file that is there, 0644 for a new one"},
		&cli.StringFlag{Name: "user", Usage: "`USER`, a name or an ID, that owns the files", DefaultText: "that of the file that is there"},
		&cli.StringFlag{Name: "group", Usage: "`GROUP` of the files, a name or an ID", DefaultText: "that of the file that is there"},
		&cli.BoolFlag{Name: "backup", Usage: "keep the file before the last change as DESTINATION.bak"},
		&cli.BoolFlag{Name: "create-dest-dirs", Usage: "make the folders of destinations", Value: true},
		&cli.StringFlag{Name: "links", Usage: "what to do with a destination that is a link: `WHAT` is follow or refuse", Value: "follow"},
		&cli.StringFlag{
			Name:    "drift",
			Usage:   "what to do when somebody else changes or removes a file: `WHAT` is warn, repair or ignore",
			Value:   string(render.WarnDrift),
			EnvVars: []string{"RENDER_DRIFT"},
		},
		&cli.StringFlag{Name: "exec", Usage: "`COMMAND` to supervise: started when all is rendered, told of changes; when it ends, so does render"},
		&cli.StringFlag{Name: "exec-reload-signal", Usage: "`SIGNAL` that tells it of changes; with \"\" it is told nothing", DefaultText: "restart it"},
		&cli.StringFlag{Name: "exec-kill-signal", Usage: "`SIGNAL` that asks it to end; with \"\" it is not asked", Value: "SIGINT"},
		&cli.DurationFlag{Name: "exec-kill-timeout", Usage: "`DURATION` that it has to end, before SIGKILL", Value: render.DefaultKillTimeout},
		&cli.DurationFlag{Name: "exec-splay", Usage: "pause for a random part of this `DURATION` before telling it", DefaultText: "none"},
		&cli.BoolFlag{Name: "exec-env-pristine", Usage: "give it nothing of our environment"},
		&cli.StringSliceFlag{Name: "exec-env-custom", Usage: "`NAME=VALUE` to add to its environment; repeatable"},
		&cli.StringSliceFlag{Name: "exec-env-allowlist", Usage: "`PATTERN` of what of our environment it gets; repeatable"},
		&cli.StringSliceFlag{Name: "exec-env-denylist", Usage: "`PATTERN` of what of our environment it does not get; repeatable"},
	}
}

// setActions gives a configuration what the flags say of actions, files and the supervised program.
func setActions(c *cli.Context, cfg *render.Config) error {
	a := &cfg.Implied
	a.Check = parseCommand(c.String("check"))
	if v := c.String("verify"); strings.HasPrefix(v, "http://") || strings.HasPrefix(v, "https://") {
		a.Verify = render.Verify{URL: v, Status: c.Int("verify-status")}
	} else {
		a.Verify = render.Verify{Command: parseCommand(v)}
	}
	a.Verify.Within = c.Duration("verify-within")
	a.Timeout, a.Splay = c.Duration("command-timeout"), c.Duration("splay")
	if a.Timeout <= 0 || a.Verify.Within <= 0 {
		return errors.New("--command-timeout and --verify-within must be more than 0")
	}
	var err error
	if a.Signal, err = parseSignal(c.String("signal")); err != nil {
		return err
	}
	file := render.File{User: c.String("user"), Group: c.String("group"), Backup: c.Bool("backup"), NoFolders: !c.Bool("create-dest-dirs")}
	if file.Perms, err = parsePerms(c.String("perms")); err != nil {
		return err
	}
	switch links := c.String("links"); links {
	case "follow":
	case "refuse":
		file.RefuseLinks = true
	default:
		return fmt.Errorf("--links %q: is not one of follow, refuse", links)
	}
	for i := range cfg.Targets {
		cfg.Targets[i].File, cfg.Targets[i].Drift = file, render.Drift(c.String("drift"))
	}
	return setExec(c, &cfg.Exec)
}

func setExec(c *cli.Context, x *render.Exec) (err error) {
	x.Command = parseProgram(c.String("exec"))
	x.KillTimeout, x.Splay = c.Duration("exec-kill-timeout"), c.Duration("exec-splay")
	if x.KillTimeout <= 0 {
		return errors.New("--exec-kill-timeout must be more than 0")
	}
	x.Env = render.Env{
		Pristine: c.Bool("exec-env-pristine"),
		Custom:   c.StringSlice("exec-env-custom"),
		Allow:    c.StringSlice("exec-env-allowlist"),
		Deny:     c.StringSlice("exec-env-denylist"),
	}
	x.Keeper = keeper
	if x.KillSignal, err = signalOf(c.String("exec-kill-signal")); err != nil {
		return err
	}
	if !c.IsSet("exec-reload-signal") {
		return nil
	}
	x.Reload, err = signalOf(c.String("exec-reload-signal"))
	x.OnChange = render.SendSignal
	if x.Reload == 0 {
		x.OnChange = render.DoNothing
	}
	return err
}

// parseCommand returns a command: of one word it is run as it is, else by sh.
func parseCommand(text string) render.Command {
	switch {
	case strings.TrimSpace(text) == "":
		return render.Command{}
	case strings.ContainsAny(text, shellCharacters):
		return render.Command{Shell: text}
	}
	return render.Command{Args: []string{text}}
}

// shellCharacters make a command one for sh. One word without any of them is a program, which needs no shell.
const shellCharacters = " \t\n\"'`$&|;<>()*?[]{}~#=%\\!"

// parseProgram returns a program to supervise. Plain words need no shell, which would stand between it and its signals, and
// which a container may not have.
func parseProgram(text string) render.Command {
	text = strings.TrimSpace(text)
	words := strings.Fields(text)
	forShell := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t=%", r) { // they do not hurt within arguments
			return -1
		}
		return r
	}, shellCharacters)
	if strings.ContainsAny(text, forShell) || len(words) > 0 && strings.Contains(words[0], "=") {
		return render.Command{Shell: text}
	}
	return render.Command{Args: words}
}

// parseSignal reads NAME:PROCESS, where a PROCESS with a slash in it is the path of a file.
func parseSignal(text string) (s render.Signal, err error) {
	if text == "" {
		return s, nil
	}
	name, process, _ := strings.Cut(text, ":")
	if s.Signal, err = signalOf(name); err != nil {
		return s, err
	}
	if process == "" || s.Signal == 0 {
		return s, fmt.Errorf("--signal %q: is not NAME:PROCESS, as in HUP:/run/nginx.pid or HUP:nginx", text)
	}
	if strings.Contains(process, "/") {
		s.PIDFile = process
	} else {
		s.Process = process
	}
	return s, nil
}

// signalOf returns the signal of a name, in any case and with or without SIG; none for "" and SIGNULL.
func signalOf(name string) (syscall.Signal, error) {
	full := strings.ToUpper(name)
	if full == "" || full == "SIGNULL" {
		return 0, nil
	}
	if !strings.HasPrefix(full, "SIG") {
		full = "SIG" + full
	}
	if s := unix.SignalNum(full); s != 0 {
		return s, nil
	}
	return 0, fmt.Errorf("there is no signal %q", name)
}

// parsePerms reads an octal mode. Bits beyond rwxrwxrwx do not count.
func parsePerms(text string) (fs.FileMode, error) {
	if text == "" {
		return 0, nil
	}
	mode, err := strconv.ParseUint(text, 8, 12)
	if err != nil || mode&uint64(fs.ModePerm) == 0 {
		return 0, fmt.Errorf("--perms %q: is not an octal number as 0640", text)
	}
	return fs.FileMode(mode) & fs.ModePerm, nil
}
