package commit

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"render/render/redact"
	"render/render/run"
)

// A Stop notifies commits that the program is about to end. From then on what they run has the time limit of one command, all
// together; what does not get its turn stays on disk as a debt for the next start.
type Stop struct {
	once sync.Once
	ch   chan struct{}
	at   time.Time // set before ch is closed
}

// NewStop returns a Stop that has not begun.
func NewStop() *Stop { return &Stop{ch: make(chan struct{})} }

// Begin says that the program is about to end.
func (s *Stop) Begin() {
	s.once.Do(func() {
		s.at = time.Now()
		close(s.ch)
	})
}

// Begun is closed when the program is about to end.
func (s *Stop) Begun() <-chan struct{} { return s.ch }

// limit returns how long something may run that is to run for most at the longest. The timeout is that of one command.
func (s *Stop) limit(most, timeout time.Duration) time.Duration {
	select {
	case <-s.ch:
		return min(most, time.Until(s.at.Add(timeout)))
	default:
		return most
	}
}

// pause waits, unless the program is about to end. It reports whether the time is up.
func (s *Stop) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ch:
		return false
	}
}

// Slots bound how many commits are at their files at one time. Commands and checks do not count.
type Slots chan struct{}

// slotTime is how long a commit may keep its slot: on a file system that hangs it keeps nobody else waiting.
const slotTime = 5 * time.Second

// acquire waits for a slot. Release may be called at any time, once.
func (s Slots) acquire() (release func()) {
	if s == nil {
		return func() {}
	}
	s <- struct{}{}
	once := sync.OnceFunc(func() { <-s })
	late := time.AfterFunc(slotTime, once)
	return func() {
		late.Stop()
		once()
	}
}

// timeout returns the time limit of one check or command of the action.
func (c *commit) timeout() time.Duration { return cmp.Or(c.Action.Timeout, run.DefaultTimeout) }

// limit returns how long something may run that is to run for most at the longest; nothing is left where it is not positive.
func (c *commit) limit(most time.Duration) time.Duration { return c.Stop.limit(most, c.timeout()) }

// run runs a check or a command of the action. What it returns as output may have secrets.
func (c *commit) run(command run.Command) (output string, err error) {
	timeout := c.limit(c.timeout())
	if timeout <= 0 {
		return "", ErrStopping
	}
	return c.runWithin(command, timeout)
}

// runWithin runs a program of the action. One that is killed because the program ends has not failed: nobody knows. What it
// returns as output may have secrets.
func (c *commit) runWithin(command run.Command, timeout time.Duration) (output string, err error) {
	output, err = c.Run(command, run.Limits{Timeout: timeout, Env: c.environ()})
	if errors.Is(err, run.ErrKilled) {
		err = ErrStopping
	}
	return output, err
}

// withoutSecrets returns what was printed without the lines that have a secret; its size alone where it may have one that nobody knows.
func (c *commit) withoutSecrets(printed string) string {
	if c.Hidden || c.Unknown && (c.old || slices.ContainsFunc(c.files, func(f *file) bool { return f.keep })) {
		return redact.Size(printed)
	}
	if printed == "" {
		return ""
	}
	if c.secrets == nil {
		c.secrets = redact.New(c.Secrets)
	}
	return c.secrets.Lines(printed)
}

// maxChanged is the most bytes of paths that a command gets in RENDER_CHANGED: the kernel accepts no variable of 128 KiB.
const maxChanged = 100 << 10

// environ returns the environment of what is run: RENDER_CHANGED has the files that change, a line each.
func (c *commit) environ() []string {
	var changed []string
	room := maxChanged
	for _, f := range c.files {
		waits := c.trying != nil && c.trying != f && f.Changes() // for its turn to be tried
		if waits || !f.Changes() && !f.Swapped() && !f.Pending() {
			continue
		}
		if room -= len(f.want.Destination) + 1; room < 0 {
			break
		}
		changed = append(changed, f.want.Destination)
	}
	added := slices.Concat(c.Env, []string{"RENDER_CHANGED=" + strings.Join(changed, "\n")})
	return c.Action.Env.Environ(os.Environ(), added)
}
