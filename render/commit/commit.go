// Package commit brings the outputs of one action to disk and makes them take effect, or puts everything back.
//
// Values go in ([Plan]) and values come out ([Result]). A commit knows destinations (package disk) and programs (package
// run). It knows no engine, no template and no Consul, and it shares no pointer with who started it.
//
// # What happens to a file between render and nginx
//
// [Do] has the whole story, from top to bottom:
//
//  1. stage: each file is compared with the disk. A file that differs is written beside its destination. A check that
//     takes a file ({}) runs on the staged file.
//  2. swap: each old file gets a second name, one intent mark in each folder says that the action has not succeeded yet, and
//     then all staged files are renamed into place.
//  3. check: a check that takes no file runs with the new files in place. Where it fails, all old files are restored, and
//     each new file is tried alone.
//  4. act: the command runs, the signal is sent, the supervised program is notified, and the verification asks whether that
//     took effect. Where one of them fails, the old files are restored and the command runs again for them.
//  5. complete: the marks and the saved files are removed, and what writeToFile appends is appended.
//
// A crash may come at any point. Each destination then has its old or its new contents, whole. The marks tell the next
// start which actions have yet to succeed (R13). The rules (R8 …) are those of package render.
package commit

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"render/render/disk"
	"render/render/redact"
	"render/render/run"
)

// A Plan is what a commit has to do.
type Plan struct {
	Action  Action
	Files   []File
	Pending bool        // the action has to succeed although no file changes
	Debts   []disk.Debt // files of earlier commits for which the action has not succeeded yet
	Fresh   []string    // destinations for which nobody has looked yet what earlier runs left
	Env     []string    // added to the environment of what is run
	Report  bool        // Result.Files are wanted
	Secrets []any       // answers in the files, old and new: what is printed of them is in no result
	Unknown bool        // there may be other secrets in the old files
	Hidden  bool        // there may be other secrets in files that are not in Files: nothing is shown of what is printed but its size

	// BeforeProgram says that the supervised program, which the command may need, waits for these files to be started: new
	// files stay although the command fails, and nothing is verified.
	BeforeProgram bool
	// KeepFrom is when new files begin to stay although the command or the verification fails: what they replace is of no use then, as
	// credentials that end. Zero is never.
	KeepFrom time.Time
	// Notify notifies the supervised program that files have changed, and returns when that is done. It is called before a
	// verification. Nil: there is no program.
	Notify func() error
}

// A File is one file that a commit brings to disk.
type File struct {
	Destination string
	Contents    []byte
	Options     disk.Options
	Written     bool // written by writeToFile: no link is followed
	Show        bool // a diff may be shown: nothing secret is in the contents
	Secret      bool // the contents are made of a secret: a file that all users can read is worth a warning
	Append      bool // Contents are added to the file, once, after the action has succeeded
}

// An Action is what happens before and after the swap. The zero value does nothing.
type Action struct {
	Check   run.Command // with {} in it: of each staged file; without: of all files in place
	Command run.Command
	Signal  run.Signal
	Verify  Verify
	Timeout time.Duration // of each run of check and command; 0 means run.DefaultTimeout
	Splay   time.Duration // a random pause of up to this before the command
	Atomic  bool          // all files or none
	Env     run.Env
}

// Acts reports whether something has to succeed after the swap.
func (a Action) Acts() bool {
	return !a.Check.IsZero() || !a.Command.IsZero() || !a.Signal.IsZero() || !a.Verify.IsZero()
}

// String returns what the action runs, as logs show it.
func (a Action) String() string {
	parts := slices.DeleteFunc([]string{a.Command.String(), a.Signal.String()}, func(s string) bool { return s == "" })
	return strings.Join(parts, "; ")
}

// A Result is what has become of a plan.
type Result struct {
	Failed   map[string]error  // why a file did not get in place, by destination
	Err      error             // why the commit as a whole failed
	Rejected bool              // a check, the command or the verification failed for the new files, and the old files are back
	Pending  bool              // the action has not succeeded yet
	Debts    []disk.Debt       // for these files
	Tried    []string          // destinations that were changed, or for which the action had to succeed
	Swapped  []string          // destinations that have new contents
	Real     map[string]string // where what writeToFile writes really is, by destination, as far as that is known
	Appends  map[int]error     // each append that was tried, by its index in Plan.Files: nil where it was appended, else why not
	Revoked  bool              // files that were in place before the commit, so that others may have read them, were put back
	Ran      bool              // the command, or what stands for it, has run, also where a stop has interrupted the verification
	Notified bool              // the supervised program was notified of the files that are in place
	Output   string            // of the command
	Private  bool              // not everybody may read all files: what a command printed may have what is in them
	Warnings []string
	Took     time.Duration
	Steps    []Step       // what ran, in order
	Files    []FileReport // of the files of the plan that differed, failed, or had to be acted for; without appends
}

// Unnotified reports whether files have changed of which the supervised program was not notified. What is appended comes after that.
func (r Result) Unnotified() bool {
	for _, err := range r.Appends {
		if err == nil {
			return true
		}
	}
	return (len(r.Swapped) > 0 || r.Revoked) && !r.Notified
}

// Tools are what all commits of a program have in common.
type Tools struct {
	Run     func(c run.Command, l run.Limits) (output string, err error)
	Send    func(run.Signal) error
	Stop    *Stop
	Slots   Slots
	Left    *disk.Leftovers
	Syncs   *disk.Syncs
	Folders *disk.Folders
	Given   *Given
	Step    func(string) // notifies tests how far a commit is; may be nil
}

var (
	// ErrLeftOut is the error of a commit that wrote nothing because a file of it could not be staged; Result.Failed has why.
	ErrLeftOut = errors.New("nothing was written, because some files could not be written")
	// ErrCheck is the error of files that a check rejects.
	ErrCheck = errors.New("check failed")
	// ErrNoProgram is what Plan.Notify returns where no program is supervised any more: nothing is verified then.
	ErrNoProgram = errors.New("no program is supervised")
	// ErrStopping is the error of a commit that was interrupted by the end of the program. The next start continues it.
	ErrStopping = errors.New("render is stopping; the next start repeats the commit")
)

// A CommandError is the error of a command or a signal that failed.
type CommandError struct{ error }

// Unwrap returns why the command failed.
func (e CommandError) Unwrap() error { return e.error }

// Do carries out a plan (R8).
func Do(p Plan, t Tools) Result {
	c := newCommit(p, t)
	c.stage()
	err := c.swap()
	if err == nil {
		err = c.checkInPlace()
	}
	if err == nil || c.checkOld() {
		c.act()
	}
	return c.end()
}

// commit is a plan at work.
type commit struct {
	Plan
	Tools
	began   time.Time
	batch   *disk.Batch
	files   []*file
	all     []*file // also those that failed
	diffed  recall
	trying  *file          // of those that are tried alone; nil while none is
	old     bool           // an old file is in place although there is a new one: before the swap, and where a file is not swapped
	secrets *redact.Finder // of Plan.Secrets; nil until something that was printed is used
	r       Result
}

// file is one file of a commit at work.
type file struct {
	*disk.File
	want    File
	keep    bool // it takes part only because of a debt
	differs bool // the file in place differed when it was staged
	wasLive bool // new contents of an earlier commit were in place when it was staged
}

func newCommit(p Plan, t Tools) *commit {
	c := &commit{Plan: p, Tools: t, began: time.Now()}
	c.r.Pending = p.Pending
	c.recall()
	c.batch = disk.NewBatch(c.Debts)
	c.batch.Step, c.batch.Left, c.batch.Syncs = t.Step, t.Left, t.Syncs
	c.batch.NoUndo = !p.Action.Acts() && !p.Action.Atomic
	return c
}

// recall finds what earlier runs left for destinations that nobody knew before.
func (c *commit) recall() {
	if len(c.Fresh) == 0 {
		return
	}
	known := make(map[string]bool)
	for _, d := range c.Debts {
		known[d.Path] = true
	}
	for _, path := range c.Fresh {
		debts, err := c.Left.Recall(path)
		if err != nil {
			c.warn([]string{fmt.Sprintf("leftovers of an earlier run not read: %v", err)})
		}
		for _, d := range debts {
			if !known[path] {
				c.Debts, c.r.Pending = append(c.Debts, d), true
			}
		}
	}
}

// end takes away what is not needed any more, and returns what has become of the plan.
func (c *commit) end() Result {
	debts, warnings := c.batch.Close()
	c.r.Debts = debts
	c.warn(warnings)
	c.r.Took = time.Since(c.began)
	if c.Report {
		c.report()
	}
	return c.r
}

func (c *commit) at(step string) {
	if c.Step != nil {
		c.Step(step)
	}
}

func (c *commit) warn(warnings []string) { c.r.Warnings = append(c.r.Warnings, warnings...) }

// fail notes why a file does not get in place.
func (c *commit) fail(f *file, err error) {
	c.old = true
	if c.r.Failed == nil {
		c.r.Failed = make(map[string]error)
	}
	c.r.Failed[f.want.Destination] = err
}

// stagers are the files of a commit that are compared and written at one time: they are synced together.
const stagers = 32

// stage compares each file with the disk, writes a file that differs beside its destination, and has it checked there if
// the check takes a file. A file that cannot be staged is noted in Failed and left out.
func (c *commit) stage() {
	all := c.wanted()
	errs := c.stageAll(all)
	c.files, c.all = all, all
	c.old = slices.ContainsFunc(all, func(f *file) bool { return f.HadFile() })

	// A check may take long: no other commit waits for it.
	for i, f := range all {
		if errs[i] == nil {
			errs[i] = c.checkStaged(f)
		}
	}

	// The action has to succeed also for a file that could not be staged, where it has not succeeded yet for what is in place.
	c.files = nil
	for i, f := range all {
		if errs[i] != nil {
			f.Discard()
			c.fail(f, errs[i])
		}
		if errs[i] == nil || f.Pending() {
			c.r.Pending = c.r.Pending || f.Pending()
			c.files = append(c.files, f)
		}
	}
	c.at("staged")
}

// wanted returns the files to stage: those of the plan, and those of debts that the plan has no contents for.
func (c *commit) wanted() []*file {
	var all []*file
	has := make(map[string]bool, len(c.Plan.Files))
	for _, f := range c.Plan.Files {
		if !f.Append {
			has[f.Destination] = true
			all = append(all, &file{want: f})
		}
	}
	for _, d := range c.Plan.Debts {
		if !has[d.Path] {
			all = append(all, &file{want: File{Destination: d.Path}, keep: true})
		}
	}
	return all
}

// stageAll stages files side by side. It returns the error of each.
func (c *commit) stageAll(all []*file) []error {
	defer c.Slots.acquire()()
	errs, warnings := make([]error, len(all)), make([][]string, len(all))
	one := func(i int) {
		f := all[i]
		f.File, warnings[i], errs[i] = c.batch.Stage(disk.Want{
			Path: f.want.Destination, Contents: f.want.Contents, Options: f.want.Options,
			NoLinks: f.want.Written, Keep: f.keep, Recall: c.diffed.of(f.want),
		})
		if errs[i] != nil {
			errs[i] = fmt.Errorf("write %s: %w", f.want.Destination, errs[i])
		}
	}
	var wg sync.WaitGroup
	for w := range min(stagers, len(all)) {
		wg.Go(func() {
			for i := w; i < len(all); i += stagers {
				one(i)
			}
		})
	}
	wg.Wait()
	for i, f := range all {
		f.wasLive, f.differs = f.Live(), f.differs || f.Changes()
		c.noteReal(f.want, f.Real())
		c.warn(warnings[i])
		c.warnOfReaders(f)
	}
	return errs
}

// noteReal notes where a file of writeToFile really is.
func (c *commit) noteReal(f File, real string) {
	if !f.Written || real == "" {
		return
	}
	if c.r.Real == nil {
		c.r.Real = make(map[string]string)
	}
	c.r.Real[f.Destination] = real
}

// checkStaged has a check that takes a file look at a staged file, or at one in place whose action has not succeeded yet.
func (c *commit) checkStaged(f *file) error {
	check := c.Action.Check
	if !check.TakesFile() || !f.Changes() && !f.Live() {
		return nil
	}
	path, remove, err := f.Candidate()
	if err != nil {
		return fmt.Errorf("check %s: %w", f.want.Destination, err)
	}
	defer remove()
	err = c.check(check.WithFile(path), f.want.Destination)
	if err != nil && !f.Changes() && !errors.Is(err, ErrStopping) {
		c.r.Revoked = true
		err = errors.Join(err, f.Undo(true))
	}
	return err
}

func (c *commit) check(check run.Command, of string) error {
	began := time.Now()
	output, err := c.run(check)
	c.noteStep("check", c.Action.Check.String(), began, err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrStopping):
		return err
	}
	return fmt.Errorf("%w for %s: %s: %w", ErrCheck, of, check, c.withOutput(err, output))
}

// swap puts the staged files in their places. A file that fails is noted in Failed and left out; of an atomic action all
// files are. An atomic action that has debts acts on them all the same.
func (c *commit) swap() error {
	if c.Action.Atomic && len(c.r.Failed) > 0 {
		for _, err := range c.r.Failed {
			c.r.Rejected = c.r.Rejected || errors.Is(err, ErrCheck)
		}
		if c.r.Pending {
			c.discard()
			c.r.Err = ErrLeftOut
			return c.undoMixture(c.files)
		}
		return c.abandon(ErrLeftOut)
	}

	defer c.Slots.acquire()()
	if c.Action.Atomic {
		if err := c.undoMixture(slices.DeleteFunc(slices.Clone(c.files), func(f *file) bool { return !f.keep })); err != nil {
			return c.abandon(err)
		}
	}
	if err := c.swapFiles(c.files, c.Action.Atomic); err != nil {
		return c.abandon(err)
	}
	c.old = len(c.r.Failed) > 0
	c.at("swapped")
	return nil
}

// undoMixture restores the old files where a crash has left some old and some new files of an atomic action in place: the
// action must not succeed for a mixture.
func (c *commit) undoMixture(files []*file) error {
	live := slices.DeleteFunc(slices.Clone(files), func(f *file) bool { return !f.Live() })
	if !slices.ContainsFunc(files, func(f *file) bool { return f.Back() }) {
		return nil
	}
	err := c.restore(live, true)
	c.r.Err = errors.Join(c.r.Err, err)
	return err
}

// swapFiles puts some files in their places. With orNone the first error ends it.
func (c *commit) swapFiles(files []*file, orNone bool) error {
	leaveOut := func(f *file, err error) error {
		if orNone {
			return err
		}
		c.fail(f, err)
		return c.giveUp(f)
	}
	files = slices.DeleteFunc(slices.Clone(files), func(f *file) bool { return !f.Changes() })
	if len(files) == 0 {
		return nil
	}

	// Before the first swap it is on disk that the action has to succeed, and what the files were.
	if c.Action.Acts() {
		if err := c.save(files, leaveOut); err != nil {
			return err
		}
		c.at("saved")
	}

	for _, f := range files {
		if !f.Changes() {
			continue // left out
		}
		if !c.Action.Acts() { // else the backup is made of the saved file when the action has succeeded
			c.warnOfBackup(f, f.BackUp())
		}
		warnings, err := f.Swap()
		c.warn(warnings)
		if err != nil {
			if err = leaveOut(f, err); err != nil {
				return err
			}
			continue
		}
		c.at("swapped one")
	}
	return nil
}

func (c *commit) save(files []*file, leaveOut func(*file, error) error) error {
	byDisk := make(map[*disk.File]*file, len(files))
	var all []*disk.File
	for _, f := range files {
		byDisk[f.File] = f
		all = append(all, f.File)
	}
	failed, warnings, err := c.batch.Save(all)
	c.warn(warnings)
	for _, f := range all {
		if failed[f] != nil && err == nil {
			err = leaveOut(byDisk[f], failed[f])
		}
	}
	return err
}

func (c *commit) warnOfBackup(f *file, err error) {
	if err != nil {
		c.warn([]string{fmt.Sprintf("%s has no backup: %v", f.want.Destination, err)})
	}
}

// abandon undoes what the commit has done so far, and notes why. Undoing a file over that of an earlier commit restores the
// file before both. An atomic action then restores all its files: old and new ones must not be mixed.
func (c *commit) abandon(err error) error {
	replaced := func(f *file) bool { return f.Swapped() && f.wasLive }
	if c.Action.Atomic && slices.ContainsFunc(c.files, replaced) {
		err = errors.Join(err, c.restore(c.live(), false))
	}
	for _, f := range c.files {
		err = errors.Join(err, c.giveUp(f))
	}
	c.r.Err = err
	return err
}

// giveUp undoes what the commit has done to one file so far.
func (c *commit) giveUp(f *file) error {
	c.r.Revoked = c.r.Revoked || f.Swapped() && f.wasLive
	return f.GiveUp()
}

// discard removes what was staged and not swapped.
func (c *commit) discard() {
	for _, f := range c.files {
		f.Discard()
	}
}

// mostNamed is how many files a message names.
const mostNamed = 3

// checkInPlace checks the files where they are. If the check fails, all old files are restored, and then each file is tried
// alone: good files stay, bad files are noted in Failed.
func (c *commit) checkInPlace() error {
	check, live := c.Action.Check, c.live()
	if check.IsZero() || check.TakesFile() || !c.r.Pending && len(live) == 0 {
		return nil
	}
	var names []string
	for _, f := range live {
		names = append(names, f.want.Destination)
	}
	err := c.check(check, cmp.Or(Summary(names, mostNamed, ", "), "the previous files"))
	c.at("checked")
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrStopping): // it stays on disk that the action has to succeed
		c.r.Pending = true
		c.r.Err = err
		return err
	}

	undone := c.restore(live, false)
	if undone == nil && len(live) > 1 && !c.Action.Atomic {
		c.tryEach(live)
		return nil
	}
	c.r.Rejected = undone == nil && len(live) > 0
	c.r.Err = errors.Join(err, undone)
	return c.r.Err
}

// checkOld checks the old files, which are back because the check rejected the new ones, where the action has to succeed for
// them. It reports whether the action can run.
func (c *commit) checkOld() bool {
	check := c.Action.Check
	if !c.r.Rejected || !c.r.Pending || check.TakesFile() {
		return false
	}
	if err := c.check(check, "the previous files"); err != nil {
		c.r.Err = fmt.Errorf("%w; after restoring the previous files: %w", c.r.Err, err)
		return false
	}
	return true
}

// live returns the files that have new contents for which the action has not succeeded yet.
func (c *commit) live() []*file {
	return slices.DeleteFunc(slices.Clone(c.files), func(f *file) bool { return !f.Live() })
}

// tryEach tries files one by one. A file that needs another file to be good is tried again when that is in place.
func (c *commit) tryEach(files []*file) {
	for progress := true; progress && len(files) > 0; {
		progress = false
		var bad []*file
		errs := c.prepare(files)
		for i, f := range files {
			err := errs[i]
			if err == nil {
				err = c.tryAlone(f)
			}
			switch {
			case errors.Is(err, ErrStopping):
				for _, untried := range files[i:] {
					c.fail(untried, errors.Join(err, c.giveUp(untried)))
				}
				c.trying = nil
				return
			case err != nil:
				c.fail(f, err)
				bad = append(bad, f)
			default:
				delete(c.r.Failed, f.want.Destination)
				progress = true
			}
		}
		files = bad
	}
	c.trying = nil
}

// prepare stages and saves files that are then tried alone: all at once, because each time the mark is written anew.
func (c *commit) prepare(files []*file) []error {
	errs := c.stageAll(files)
	var staged []*file
	at := make(map[*file]int, len(files))
	for i, f := range files {
		if at[f] = i; errs[i] == nil && f.Changes() {
			staged = append(staged, f)
		}
	}
	err := c.save(staged, func(f *file, err error) error {
		errs[at[f]] = errors.Join(err, c.giveUp(f))
		return nil
	})
	if err != nil {
		for _, f := range staged {
			errs[at[f]] = errors.Join(err, c.giveUp(f))
		}
	}
	return errs
}

// tryAlone swaps one file and checks it in place, with the files that have passed before.
func (c *commit) tryAlone(f *file) error {
	if c.limit(c.timeout()) <= 0 {
		return ErrStopping
	}
	c.trying = f
	warnings, err := f.Swap()
	c.warn(warnings)
	if err == nil {
		c.at("swapped one")
		err = c.check(c.Action.Check, f.want.Destination)
	}
	if err != nil {
		err = errors.Join(err, c.giveUp(f))
	}
	return err
}

// restore puts the old files back. Where the new files may have been acted upon it stays on disk that the action has to
// succeed: for the old files.
func (c *commit) restore(live []*file, acted bool) error {
	c.old = true
	var errs []error
	for _, f := range live {
		c.r.Revoked = c.r.Revoked || f.wasLive
		errs = append(errs, f.Undo(acted))
		c.at("undone one")
	}
	return errors.Join(errs...)
}

// act runs the action for the files that were swapped, or for which it has not succeeded yet. If that fails, the old files are
// restored, and the command runs again for them.
func (c *commit) act() {
	for _, f := range c.files {
		if f.Swapped() {
			c.r.Swapped = append(c.r.Swapped, f.want.Destination)
		}
		if f.Swapped() || f.Pending() {
			c.r.Tried = append(c.r.Tried, f.want.Destination)
		}
	}
	appends := c.appends()
	switch {
	case !c.Action.Acts():
		c.complete()
		c.append(appends)
		return
	case !c.r.Pending && len(c.r.Swapped) == 0 && len(appends) == 0:
		return
	}

	c.r.Pending = true
	output, err := c.apply()
	c.r.Output, c.r.Ran = c.withoutSecrets(output), c.r.Ran || !errors.Is(err, ErrStopping)
	if err == nil {
		c.complete()
		c.append(appends)
		return
	}
	c.r.Err = errors.Join(c.r.Err, err)
	live := c.live()
	if errors.Is(err, ErrStopping) || len(live) == 0 || c.BeforeProgram || c.isFirst(live) {
		return
	}
	if !c.KeepFrom.IsZero() && !time.Now().Before(c.KeepFrom) {
		c.r.Err = fmt.Errorf("%w; the new files stay: credentials in the previous ones have ended, or end soon", c.r.Err)
		return
	}

	if err := c.restore(live, true); err != nil {
		c.r.Err = errors.Join(c.r.Err, err)
		return
	}
	c.r.Swapped, c.r.Rejected = nil, true
	if c.r.Notified {
		c.r.Revoked, c.r.Notified = true, false
	}
	c.at("undone")
	if _, err := c.runCommand(); err != nil {
		c.r.Err = fmt.Errorf("%w; after restoring the previous files: %w", c.r.Err, err)
		return
	}
	c.complete()
}

// isFirst reports whether a command failed where there was no file before. That is no reason to remove the new files: often
// what is to be reloaded is not running yet, and needs them to start.
func (c *commit) isFirst(live []*file) bool {
	old := slices.ContainsFunc(live, func(f *file) bool { return f.HadFile() })
	return !old && c.Action.Verify.IsZero()
}

// apply runs the command, sends the signal, notifies the supervised program and verifies. It returns what the command printed,
// which may have secrets.
func (c *commit) apply() (output string, err error) {
	c.Stop.pause(run.UpTo(c.Action.Splay))
	output, err = c.runCommand()
	isNone := c.Action.Command.IsZero() && c.Action.Signal.IsZero() // the verification stands for it
	c.r.Ran = !isNone && !errors.Is(err, ErrStopping)
	if err != nil {
		return output, err
	}
	c.at("run")
	if c.BeforeProgram || c.Action.Verify.IsZero() {
		return output, nil // before the start of the program nothing can have taken effect yet
	}
	if c.Notify != nil {
		began := time.Now()
		err := c.Notify()
		c.noteStep("notify", "the supervised program", began, err)
		if errors.Is(err, ErrNoProgram) {
			return output, nil
		}
		if err != nil {
			return output, err
		}
		c.r.Notified = true
	}
	began := time.Now()
	err = c.verify()
	c.noteStep("verify", c.Action.Verify.String(), began, err)
	return output, err
}

// runCommand runs the command and sends the signal.
func (c *commit) runCommand() (output string, err error) {
	began := time.Now()
	if !c.Action.Command.IsZero() {
		output, err = c.run(c.Action.Command)
		c.noteStep("command", c.Action.Command.String(), began, err)
	}
	if err == nil && !c.Action.Signal.IsZero() {
		began = time.Now()
		err = c.Send(c.Action.Signal)
		c.noteStep("signal", c.Action.Signal.String(), began, err)
	}
	if err != nil && !errors.Is(err, ErrStopping) {
		err = CommandError{err}
	}
	return output, err
}

// complete notes that the action has succeeded.
func (c *commit) complete() {
	c.r.Pending = false
	c.warn(c.batch.Complete())
	c.at("completed")
}

// appends returns what is to be appended when the action has succeeded, by the index in Plan.Files: nothing where the new
// files are not in place.
func (c *commit) appends() []int {
	if c.r.Err != nil {
		return nil
	}
	var appends []int
	for i, f := range c.Plan.Files {
		if f.Append {
			appends = append(appends, i)
		}
	}
	return appends
}

// append appends, once: what it did is in the result, and is not done again.
func (c *commit) append(appends []int) {
	tried := make(map[string]bool, len(c.r.Tried))
	for _, path := range c.r.Tried {
		tried[path] = true
	}

	for _, i := range appends {
		f := c.Plan.Files[i]
		real, err := disk.Append(f.Destination, f.Contents, f.Options)
		c.noteReal(f, real)
		if err != nil {
			err = fmt.Errorf("append to %s: %w", f.Destination, err)
		}
		if c.r.Appends == nil {
			c.r.Appends = make(map[int]error, len(appends))
		}
		c.r.Appends[i] = err
		if err == nil && !tried[f.Destination] {
			tried[f.Destination] = true
			c.r.Tried = append(c.r.Tried, f.Destination)
		}
	}
}

// Summary joins the first few of many.
func Summary(all []string, most int, sep string) string {
	if len(all) <= most {
		return strings.Join(all, sep)
	}
	return fmt.Sprintf("%s%sand %d more", strings.Join(all[:most], sep), sep, len(all)-most)
}
