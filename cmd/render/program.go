package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"render/render"
	"render/watch"
)

// A program is one run of render.
type program struct {
	line   *commandLine
	desk   *desk
	stdout io.Writer
	logs   *logs
	log    *slog.Logger
	pid    pidFile
	notify *notify // nil without systemd

	plan   *plan  // the one in force; owned by run, then by reloads
	seen   string // what the configuration files were when they were read last
	files  *watch.Files
	source *watch.Switch
	end    func() // of what source asks
	engine *render.Engine
}

func newProgram(line *commandLine, desk *desk, stdout, stderr io.Writer) *program {
	logs := newLogs(stderr)
	return &program{line: line, desk: desk, stdout: stdout, logs: logs, log: logs.logger()}
}

// close ends what is left of a run.
func (p *program) close() {
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
	if plan.parseOnly {
		return p.parse(loaded)
	}
	if err := p.logs.apply(plan.log); err != nil {
		return settingError{err}
	}
	// What libraries print, as net/http does of connections that end oddly, is of use to developers only.
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(p.log.Handler(), slog.LevelDebug).Writer())
	loaded.tell(p.log)
	if err := p.pid.move(plan.pidFile); err != nil {
		return err
	}
	p.notify = takeNotify(p.log)
	if p.files, err = watch.NewFiles(); err != nil {
		return err
	}
	defer p.files.Close()
	source, end, err := p.ask(plan)
	if err != nil {
		return err
	}
	p.source, p.end = watch.NewSwitch(source), end
	defer func() { p.end() }()
	if p.engine, err = render.New(p.source, plan.engine); err != nil {
		return err
	}
	return p.runEngine(ctx)
}

// parse finds what is wrong, and writes nothing but to standard error.
func (p *program) parse(loaded *loader) error {
	if err := p.logs.apply(logSettings{Level: p.plan.log.Level, Format: p.plan.log.Format}); err != nil {
		return settingError{err}
	}
	loaded.tell(p.log)
	_, err := render.New(nil, p.plan.engine)
	return err
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
	wg.Go(func() { p.reloads(ctx, ended) })
	return p.engine.Run(ctx)
}

// assign tells the desk what the signals mean under the plan in force.
func (p *program) assign() {
	p.desk.assign(duties{
		reload: p.plan.reloadSignal, kill: p.plan.killSignal,
		engine: p.engine, supervises: !p.plan.engine.Exec.Command.IsZero(),
	})
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

// tell logs what users should know of their configuration.
func (l *loader) tell(log *slog.Logger) {
	for _, text := range l.notices {
		log.Warn(text)
	}
	for _, text := range l.skipped {
		log.Debug("not read as configuration", "file", text)
	}
}

// ask returns the source of a plan, and what ends it.
func (p *program) ask(plan *plan) (watch.Source, func(), error) {
	src := watch.ByKind{watch.KindFile: p.files}
	if plan.fixture != "" {
		fixture, err := watch.NewFixture(p.files, plan.fixture)
		src[""] = fixture
		return src, func() {}, err
	}
	consul, err := watch.NewConsul(plan.consul)
	if err != nil {
		return nil, nil, err
	}
	src[""] = consul
	return src, consul.Close, nil
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
		case <-look.C:
			if !p.plan.watchConfig || !watched.settled(p.seen) {
				continue
			}
			p.log.Info("reloading the configuration, because its files have changed")
		case <-ended:
			return
		}
		p.notify.reloading()
		p.reload(ctx)
		p.notify.reloaded()
	}
}

// reload takes a new configuration (R10). On an error the one before stays in force, and the engine says so.
func (p *program) reload(ctx context.Context) {
	plan, loaded, err := p.prepare()
	if err != nil {
		p.engine.Reject(ctx, err)
		return
	}
	if err := p.engine.Apply(ctx, plan.engine); err != nil {
		return // it has said so
	}
	loaded.tell(p.log)
	p.plan = plan
	p.assign()
}

// prepare reads a new configuration, and does all of it but what is the engine's. What can fail comes first.
func (p *program) prepare() (*plan, *loader, error) {
	plan, loaded, err := p.read()
	if err != nil {
		return nil, nil, err
	}
	if err := p.unchangeable(plan); err != nil {
		return nil, nil, err
	}
	if _, err := render.New(nil, plan.engine); err != nil {
		return nil, nil, err
	}
	source, end, err := p.newSource(plan)
	if err != nil {
		return nil, nil, err
	}
	if err := p.moveOutputs(plan); err != nil {
		end()
		return nil, nil, err
	}
	if source != nil {
		p.source.Use(source)
		p.end()
		p.end = end
	}
	return plan, loaded, nil
}

// moveOutputs takes log and pid file to where a plan wants them, both or none.
func (p *program) moveOutputs(plan *plan) error {
	if err := p.logs.apply(plan.log); err != nil {
		return err
	}
	err := p.pid.move(plan.pidFile)
	if err != nil {
		err = errors.Join(err, p.logs.apply(p.plan.log))
	}
	return err
}

// newSource returns the source of a plan, and what ends it; no source where it is the present one's.
func (p *program) newSource(plan *plan) (watch.Source, func(), error) {
	if plan.fixture == p.plan.fixture && reflect.DeepEqual(plan.consul, p.plan.consul) {
		return nil, func() {}, nil
	}
	return p.ask(plan)
}

// unchangeable returns an error where a reload changes what needs a new start.
func (p *program) unchangeable(plan *plan) error {
	for _, s := range []struct {
		name     string
		was, now bool
	}{
		{"once", p.plan.engine.Once, plan.engine.Once}, {"dry", p.plan.dry, plan.dry}, {"parse_only", false, plan.parseOnly},
	} {
		if s.was != s.now {
			return fmt.Errorf("%s cannot change while render runs; start it anew", s.name)
		}
	}
	return nil
}
