package main

import (
	"context"
	"errors"
	"io"
	stdlog "log"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"render/cmd/render/logs"
	"render/render"
	"render/watch"
	"render/watch/consul"
)

// A program is one run of render.
type program struct {
	line   *commandLine
	desk   *desk
	stdout io.Writer
	logs   *logs.Log
	log    *slog.Logger
	pid    pidFile
	notify *notify // nil without systemd

	plan   *plan     // the one in force; owned by run, then by reloads
	seen   string    // what the configuration files were when they were read last
	retry  time.Time // when to try again to read it; zero where it could be read
	top    *values   // of the plan in force
	told   []string  // the same
	files  *watch.Files
	source *watch.Switch
	asked  asked // by source
	engine *render.Engine
}

// asked is who answers queries.
type asked struct {
	source watch.Source
	end    func()
}

func newProgram(line *commandLine, desk *desk, stdout io.Writer, stderr logs.Writer) *program {
	l := logs.New(stderr)
	return &program{line: line, desk: desk, stdout: stdout, logs: l, log: l.Logger()}
}

// close ends what is left of a run, which has ended with err.
func (p *program) close(err error) {
	if err != nil {
		p.logs.ErrorElsewhere("render has ended", "err", err)
	}
	if err := p.pid.remove(); err != nil {
		p.log.Warn("cannot remove the pid file", "err", err)
	}
	_ = p.logs.Close() // there is nowhere left to tell
}

// run reads the configuration and does what it says.
func (p *program) run(ctx context.Context) error {
	plan, loaded, err := p.read()
	if err != nil {
		return err
	}
	p.plan = plan
	if !plan.engine.Once && !plan.parseOnly { // what a run prints that ends by itself is complete, however slow its reader is
		p.logs.StartQueues()
	}
	if err := p.logs.Apply(plan.log); err != nil {
		return settingError{err}
	}
	// What libraries print, as net/http does of connections that end oddly, is of use to developers only.
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(p.log.Handler(), slog.LevelDebug).Writer())
	loaded.tell(p.log, nil)
	if plan.parseOnly { // it has written nothing but to standard error
		_, err := render.New(nil, plan.engine)
		return loaded.placed(err)
	}
	p.top, p.told = loaded.doc.top, loaded.notices
	if err := p.pid.move(plan.pidFile); err != nil {
		return loaded.placedAt("pid_file", err)
	}
	p.notify = takeNotify(p.log)
	if p.files, err = watch.NewFiles(); err != nil {
		p.log.Warn("the system does not notify of changed files", "err", err)
	}
	defer p.files.Close()
	if p.asked, err = p.ask(plan); err != nil {
		return loaded.placedAtFile(err)
	}
	defer func() { p.asked.end() }()
	p.source = watch.NewSwitch(p.asked.source)
	if p.engine, err = render.New(p.source, plan.engine); err != nil {
		return loaded.placed(err)
	}
	return p.runEngine(ctx)
}

// runEngine runs the engine, and beside it what looks after it.
func (p *program) runEngine(ctx context.Context) error {
	p.assign()
	ended := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(ended)
	if p.notify != nil {
		wg.Go(func() { p.notify.follow(ctx, p.engine, ended) })
	}
	if !p.plan.engine.Once {
		p.log.Info("render has started", "version", version, "templates", len(p.plan.engine.Targets))
		defer context.AfterFunc(ctx, func() {
			p.log.Info("render ends", "because", unix.SignalName(syscall.Signal(p.desk.stopped.Load())))
		})()
		wg.Go(func() { p.reloads(ctx, ended) })
	}
	return p.engine.Run(ctx)
}

// assign tells the desk what the signals mean under the plan in force. A run with once takes no other configuration.
func (p *program) assign() {
	to := duties{
		reload: p.plan.reloadSignal, kill: p.plan.killSignal,
		engine: p.engine, supervises: !p.plan.engine.Exec.Command.IsZero() && !p.plan.dry,
	}
	if p.plan.engine.Once {
		to.reload = 0
	}
	p.desk.assign(to)
}

// read reads the configuration and makes a plan of it.
func (p *program) read() (*plan, *loader, error) {
	p.seen = signatureOf(p.line.configs)
	loaded, err := load(p.line)
	if err != nil {
		return nil, nil, err
	}
	plan, err := loaded.build()
	if err != nil {
		return nil, nil, err
	}
	plan.engine.Log = p.log
	plan.consul.Log = p.log
	if plan.dry {
		plan.engine.Dry = p.stdout
	}
	if plan.parseOnly {
		plan.engine.Dry = io.Discard
	}
	return plan, loaded, nil
}

// tell logs what users should know of a configuration, but for what was told of the one before.
func (l *loader) tell(log *slog.Logger, before []string) {
	for _, text := range l.notices {
		if !slices.Contains(before, text) {
			log.Warn(text)
		}
	}
	for _, text := range l.skipped {
		log.Debug("not read as configuration", "what", text)
	}
}

// ask returns who answers queries under a plan.
func (p *program) ask(plan *plan) (asked, error) {
	src := watch.ByKind{watch.KindFile: p.files}
	if plan.fixture != "" {
		fixture, err := watch.NewFixture(p.files, plan.fixture)
		src[""] = fixture
		return asked{src, func() {}}, err
	}
	consul, err := consul.New(plan.consul)
	if err != nil {
		return asked{}, err
	}
	src[""] = consul
	return asked{src, consul.Close}, nil
}

// reloads reloads the configuration whenever that is asked for, until the engine has ended.
func (p *program) reloads(ctx context.Context, ended <-chan struct{}) {
	watched := configWatch{configs: p.line.configs}
	look := time.NewTicker(configEvery)
	defer look.Stop()
	for {
		select {
		case <-p.desk.reloads:
			p.log.Info("reloading the configuration")
		case now := <-look.C:
			switch {
			case p.plan.watchConfig && watched.settled(p.seen):
				p.log.Info("reloading the configuration, because its files have changed")
			case p.isMended(now):
				p.log.Info("reloading the configuration, because what was wrong with it is mended")
			default:
				continue
			}
		case <-ctx.Done(): // we end
			return
		case <-ended:
			return
		}
		p.notify.reloading()
		p.reload(ctx)
		p.notify.reloaded()
	}
}

// isMended reports whether a configuration that could not be read can be now, without a change of its own files: it was
// asked for. Most time goes into other things than to find out.
func (p *program) isMended(now time.Time) bool {
	if p.retry.IsZero() || now.Before(p.retry) || signatureOf(p.line.configs) != p.seen {
		return false
	}
	_, _, err := p.readNext()
	return err == nil
}

// reload takes a new configuration (R10). On an error the one before stays in force, and the engine says so.
func (p *program) reload(ctx context.Context) {
	plan, loaded, err := p.readNext()
	if err != nil {
		p.engine.Reject(ctx, err)
		return
	}
	settle, err := p.prepare(plan, loaded)
	if err != nil {
		p.engine.Reject(ctx, err)
		return
	}
	err = p.engine.Apply(ctx, plan.engine) // it says itself what is wrong
	settle(err == nil)
	if err != nil {
		return
	}
	before, told := p.top, p.told
	p.plan, p.top, p.told = plan, loaded.doc.top, loaded.notices
	p.assign()
	if keys := p.top.differences(before); len(keys) > 0 {
		p.log.Info("settings have changed", "settings", strings.Join(keys, ", "))
	}
	loaded.tell(p.log, told)
}

// readNext is read for a reload. It finds all that is wrong with a configuration before anything is done for it.
func (p *program) readNext() (plan *plan, loaded *loader, err error) {
	began := time.Now()
	defer func() {
		if p.retry = (time.Time{}); err != nil {
			p.retry = time.Now().Add(20 * time.Since(began))
		}
	}()
	plan, loaded, err = p.read()
	if err != nil {
		return nil, nil, err
	}
	if err := p.unchangeable(plan, loaded); err != nil {
		return nil, nil, err
	}
	if _, err := render.New(nil, plan.engine); err != nil {
		return nil, nil, loaded.placed(err)
	}
	if program := plan.engine.Exec; !reflect.DeepEqual(program.Command, p.plan.engine.Exec.Command) {
		if err := program.Find(); err != nil {
			return nil, nil, err
		}
	}
	return plan, loaded, nil
}

// prepare does all of a plan but what is the engine's. What it returns is to be told whether the engine has taken the plan.
func (p *program) prepare(plan *plan, loaded *loader) (settle func(taken bool), err error) {
	before, next := p.asked, p.asked
	other := plan.fixture != p.plan.fixture || !reflect.DeepEqual(plan.consul, p.plan.consul)
	if other {
		if next, err = p.ask(plan); err != nil {
			return nil, loaded.placedAtFile(err)
		}
	}
	if err := p.moveOutputs(plan); err != nil {
		if other {
			next.end()
		}
		return nil, err
	}
	if other {
		p.use(next)
	}
	return func(taken bool) {
		if !taken {
			if err := p.moveOutputs(p.plan); err != nil {
				p.log.Warn("cannot go back to the log and the pid file of the configuration in force", "err", err)
			}
		}
		switch {
		case other && taken:
			before.end()
		case other:
			p.use(before)
			next.end()
		}
	}, nil
}

// use has somebody else answer queries.
func (p *program) use(next asked) {
	p.source.Use(next.source)
	p.asked = next
}

// moveOutputs takes log and pid file to where a plan wants them, both or none.
func (p *program) moveOutputs(plan *plan) error {
	if err := p.logs.Apply(plan.log); err != nil {
		return err
	}
	err := p.pid.move(plan.pidFile)
	if err != nil {
		err = errors.Join(err, p.logs.Apply(p.plan.log))
	}
	return err
}

// unchangeable returns an error where a reload changes what needs a new start.
func (p *program) unchangeable(plan *plan, loaded *loader) error {
	for _, s := range []struct {
		key      string
		was, now bool
	}{
		{"once", p.plan.engine.Once, plan.engine.Once}, {"dry", p.plan.dry, plan.dry}, {"parse_only", false, plan.parseOnly},
	} {
		if s.was != s.now {
			loaded.wrong(loaded.doc.top, s.key, "cannot change while render runs; start it anew")
		}
	}
	return loaded.err()
}
