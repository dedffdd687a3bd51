package render

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A commit brings the outputs of some targets to disk and does what their action says: stage, swap, check, run (R8). It
// knows files and processes, and nothing of the engine.
//
// A crash may come at any point. Each destination then has its old or its new contents, whole. That the action has yet to
// succeed is known from a mark beside each swapped file, and what the file was before from its second name; both are on
// disk before the swap, and go when the action has succeeded or the old file is back (R13).
type commit struct {
	cfg   Action
	files []*stagedFile
	env   []string        // added to the environment of what is run
	hurry <-chan struct{} // closed when there is no time for a pause
	among *running        // what is run is one of these
	owed  bool            // the action has to succeed although no file changes; afterwards: it still has to
	early bool            // the supervised program, which the command may need, waits for these files to be started

	failed   map[string]error // what did not get in place, by destination
	rejected bool             // something did not like the new files as a whole, and the old ones are back
	warnings []string
	tried    []string // destinations that were changed, or for which something is owed
	swaps    []string // those that stayed so
	revoked  bool     // files that were in place before, and others may have read, went back
	ran      bool     // the command, or what stands for it
	output   string   // of it
	err      error    // of the commit as a whole

	step func(string) // tells tests how far it is
}

var (
	// errLeftOut is the error of an atomic commit of which a file could not be staged; failed has the reason.
	errLeftOut = errors.New("nothing was written because not everything could be")
	// errCheck is the error of files that a check does not like.
	errCheck = errors.New("the check has failed")
)

// A commandError is the error of a command or a signal that has failed.
type commandError struct{ error }

func (e commandError) Unwrap() error { return e.error }

// stage compares each file with the disk, writes what differs to a temporary file beside its destination and has it
// checked there, if the check takes a file. What cannot be staged is noted in failed and left out.
func (c *commit) stage() {
	staged := c.files[:0:0]
	for _, f := range c.files {
		err := c.stageFile(f)
		if err != nil {
			f.discard()
			c.fail(f, err)
		}
		if err == nil || f.owed { // what is owed is so for the contents in place, too
			c.owed = c.owed || f.owed
			staged = append(staged, f)
		}
	}
	c.files = staged
	c.at("staged")
}

func (c *commit) stageFile(f *stagedFile) error {
	warning, err := f.stage()
	if err != nil {
		return fmt.Errorf("write %s: %w", f.destination, err)
	}
	if warning != "" {
		c.warnings = append(c.warnings, warning)
	}
	check := c.cfg.Check
	if !check.takesFile() || !f.changes() && !f.live() {
		return nil
	}
	path, remove, err := f.candidate()
	if err != nil {
		return fmt.Errorf("check %s: %w", f.destination, err)
	}
	defer remove()
	err = c.check(check.withFile(path), f.destination)
	if err != nil && !f.changes() {
		err = errors.Join(err, f.undo(true))
	}
	return err
}

func (c *commit) fail(f *stagedFile, err error) {
	if c.failed == nil {
		c.failed = make(map[string]error)
	}
	c.failed[f.destination] = err
}

func (c *commit) at(step string) {
	if c.step != nil {
		c.step(step)
	}
}

func (c *commit) check(check Command, of string) error {
	output, err := c.runner(check).run()
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w for %s: %s: %w%s", errCheck, of, check, err, quoted(output))
}

// quoted returns what a command has printed, for an error.
func quoted(output string) string {
	if output = strings.TrimSpace(output); output == "" {
		return ""
	}
	return "; it said: " + output
}

// doing returns what an action runs, as logs show it.
func (a Action) doing() string {
	var parts []string
	for _, part := range []string{a.Command.String(), a.Signal.String()} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "; ")
}

// acts reports whether something has to succeed after the swap.
func (a Action) acts() bool {
	return !a.Check.IsZero() || !a.Command.IsZero() || !a.Signal.IsZero() || !a.Verify.IsZero()
}

// swap puts the staged files in their places. One that fails is noted in failed and left out; of an atomic action, all are.
func (c *commit) swap() error {
	if c.cfg.Atomic && len(c.failed) > 0 {
		for _, err := range c.failed {
			c.rejected = c.rejected || errors.Is(err, errCheck)
		}
		return c.abandon(errLeftOut)
	}
	if err := c.swapFiles(c.files, c.cfg.Atomic); err != nil {
		return c.abandon(err)
	}
	return nil
}

// swapFiles puts some of the files in their places; orNone makes the first error end it.
func (c *commit) swapFiles(files []*stagedFile, orNone bool) error {
	leaveOut := func(f *stagedFile, err error) error {
		if orNone {
			return err
		}
		c.fail(f, err)
		return f.giveUp()
	}
	files = slices.DeleteFunc(slices.Clone(files), func(f *stagedFile) bool { return !f.changes() })
	dirs := make(map[string]bool)
	for _, f := range files {
		dirs[filepath.Dir(f.path)] = true
	}
	if c.cfg.acts() && len(files) > 0 {
		for _, f := range files {
			if err := c.save(f, dirs); err != nil {
				if err = leaveOut(f, err); err != nil {
					return err
				}
			}
		}
		if err := syncDirs(dirs); err != nil {
			return err
		}
		c.at("saved")
	}
	for _, f := range files {
		if !f.changes() {
			continue // left out
		}
		if f.options.Backup && !c.cfg.acts() { // else it is made of the saved file when the action has succeeded
			c.warnOfBackup(f, f.backUp())
		}
		if err := f.swap(); err != nil {
			if err = leaveOut(f, err); err != nil {
				return err
			}
			continue
		}
		c.at("swapped one")
	}
	if err := syncDirs(dirs); err != nil {
		return err
	}
	c.at("swapped")
	return nil
}

// save makes sure that an old file can come back, and that it is known that the action has to succeed.
func (c *commit) save(f *stagedFile, dirs map[string]bool) error {
	err := f.save()
	if f.inPlace && errors.Is(err, syscall.EROFS) {
		delete(dirs, filepath.Dir(f.path))
		c.warnings = append(c.warnings, fmt.Sprintf("%s: if render ends before the action has succeeded, the next start will not know: %v", f.destination, err))
		return nil
	}
	return err
}

// abandon undoes the swap, takes the staged files away and notes err.
func (c *commit) abandon(err error) error {
	for _, f := range c.files {
		err = errors.Join(err, f.giveUp())
	}
	c.err = err
	return err
}

// discard takes away what was staged and not swapped.
func (c *commit) discard() {
	for _, f := range c.files {
		f.discard()
	}
}

// checkLive checks the files where they are. If the check fails, all go back, and then each is tried alone: the good ones
// stay, the bad ones are noted in failed.
func (c *commit) checkLive() error {
	check := c.cfg.Check
	live := c.live()
	if check.IsZero() || check.takesFile() || !c.owed && len(live) == 0 {
		return nil
	}
	var names []string
	for _, f := range live {
		names = append(names, f.destination)
	}
	err := c.check(check, cmp.Or(summary(names, mostNamed, ", "), "the old files"))
	c.at("checked")
	if err == nil {
		return nil
	}
	undone := c.goBack(live, false)
	if undone == nil && len(live) > 1 && !c.cfg.Atomic {
		c.checkEach(live)
		return nil
	}
	c.rejected = undone == nil
	c.err = errors.Join(err, undone)
	return c.err
}

// live returns the files that are in place and whose action has yet to succeed.
func (c *commit) live() []*stagedFile {
	return slices.DeleteFunc(slices.Clone(c.files), func(f *stagedFile) bool { return !f.live() })
}

// checkEach tries files one by one. One that needs another to be good is tried again when that is in place.
func (c *commit) checkEach(files []*stagedFile) {
	for progress := true; progress && len(files) > 0; {
		progress = false
		var bad []*stagedFile
		for _, f := range files {
			err := c.tryAlone(f)
			if err != nil {
				c.fail(f, err)
				bad = append(bad, f)
				continue
			}
			delete(c.failed, f.destination)
			progress = true
		}
		files = bad
	}
}

func (c *commit) tryAlone(f *stagedFile) error {
	_, err := f.stage()
	if err == nil {
		err = c.swapFiles([]*stagedFile{f}, true)
	}
	if err == nil {
		err = c.check(c.cfg.Check, f.destination)
	}
	if err != nil {
		err = errors.Join(err, f.giveUp())
	}
	return err
}

// goBack puts the old files back. Where the new ones may have been acted upon it stays on disk that the action owes
// something: to act on the old ones.
func (c *commit) goBack(live []*stagedFile, acted bool) error {
	var errs []error
	dirs := make(map[string]bool)
	for _, f := range live {
		c.revoked = c.revoked || f.owed && !f.back
		errs = append(errs, f.undo(acted))
		dirs[filepath.Dir(f.path)] = true
		c.at("undone one")
	}
	return errors.Join(append(errs, syncDirs(dirs))...)
}

// run does what the action says about the files that were swapped, or owes since an earlier commit. If that fails, the old
// files come back, and the command runs again for them.
func (c *commit) run() error {
	for _, f := range c.files {
		if f.swapped {
			c.swaps = append(c.swaps, f.destination)
		}
		if f.swapped || f.owed {
			c.tried = append(c.tried, f.destination)
		}
	}
	switch {
	case !c.cfg.acts():
		c.settle()
		return nil
	case !c.owed && len(c.swaps) == 0:
		return nil
	}
	c.ran = true
	c.owed = true
	c.output, c.err = c.apply()
	if c.err == nil {
		c.settle()
		return nil
	}
	live := c.live()
	if len(live) == 0 || c.early || c.isFirst(live) {
		return c.err
	}
	if err := c.goBack(live, true); err != nil {
		c.err = errors.Join(c.err, err)
		return c.err
	}
	c.swaps = nil
	c.rejected = true
	c.at("undone")
	if _, err := c.runCommand(); err != nil {
		c.err = fmt.Errorf("%w; with the old files, which are back: %w", c.err, err)
		return c.err
	}
	c.settle()
	return c.err
}

// isFirst reports whether a command has failed where there was nothing before. That is no reason to take the files away:
// often what is to be reloaded is not running yet, and needs them to start.
func (c *commit) isFirst(live []*stagedFile) bool {
	old := slices.ContainsFunc(live, func(f *stagedFile) bool { return f.old.exists })
	return !old && c.cfg.Verify.IsZero()
}

func (c *commit) warnOfBackup(f *stagedFile, err error) {
	if err != nil {
		c.warnings = append(c.warnings, fmt.Sprintf("%s has no backup: %v", f.destination, err))
	}
}

// settle notes that nothing is owed any more.
func (c *commit) settle() {
	c.owed = false
	for _, f := range c.files {
		c.warnOfBackup(f, f.keepBackup())
		if err := f.unmark(); err != nil {
			c.warnings = append(c.warnings, fmt.Sprintf("the action will run again at the next start: %v", err))
		}
	}
	c.at("settled")
}

// apply runs the command, sends the signal and verifies. It returns what the command has printed.
func (c *commit) apply() (output string, err error) {
	c.pause(c.cfg.Splay)
	if output, err = c.runCommand(); err != nil {
		return output, err
	}
	c.at("run")
	if c.early {
		return output, nil // there is nothing yet that could have taken effect
	}
	return output, c.verify()
}

// runCommand runs the command and sends the signal.
func (c *commit) runCommand() (output string, err error) {
	if !c.cfg.Command.IsZero() {
		if output, err = c.runner(c.cfg.Command).run(); err != nil {
			return output, commandError{err}
		}
	}
	if err := c.cfg.Signal.send(); err != nil {
		return output, commandError{err}
	}
	return output, nil
}

// maxChanged is the most bytes of paths that a command is told of: the kernel takes no variable of 128 KiB.
const maxChanged = 100 << 10

// runner returns a command of this commit, ready to run.
func (c *commit) runner(command Command) runner {
	var changed []string
	room := maxChanged
	for _, f := range c.files {
		if !f.changes() && !f.owed {
			continue
		}
		if room -= len(f.destination) + 1; room < 0 {
			break
		}
		changed = append(changed, f.destination)
	}
	added := slices.Concat(c.env, []string{"RENDER_CHANGED=" + strings.Join(changed, "\n")})
	return runner{Command: command, timeout: c.cfg.Timeout, env: c.cfg.Env.environ(os.Environ(), added), among: c.among}
}

func syncDirs(dirs map[string]bool) error {
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			return fmt.Errorf("sync %s: %w", dir, err)
		}
	}
	return nil
}

// syncDir syncs a folder, where that can be: one may be written without being read, and not all file systems know how.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
