// Package render keeps files in sync with what package watch knows: the program without a command line.
//
// A query names one piece of data. A target is one template and the one file that it makes. An action is what happens
// when files change, for one target or many. The dependency graph has these three levels and nothing else; a change at
// its left touches only what hangs on it at its right.
//
// An [Engine] has one loop, which owns its state: targets, actions, outputs and their stages. Watchers, commits and callers of
// [Engine.Status] and [Engine.Apply] reach it by channels, so there is nothing to lock. The loop does no I/O on
// destinations, runs no program, and waits for no template: a pass has a goroutine of its own. The loop waits for its end for
// 20 ms; a pass that takes longer is detached, and its end is an event. Four helpers beside the loop have a lock each, for what
// they hand over: the notices of files that changed, the watch of templates, the watch for drift, and the answers that
// detached passes look at.
//
// # The rooms
//
//   - This package: the loop. Begin with Engine.Run; passes.go has the passes of a target, apply.go puts proposals in effect.
//   - render/pass: passes beside the loop.
//   - render/output: what a target wants on disk, and in which stage each of its outputs is.
//   - render/commit: a commit, from top to bottom: what happens to a file between render and nginx.
//   - render/disk: one destination, and intent marks; render/disk/folder: files and folders where others may write.
//   - render/run: programs: commands with limits, the supervised program; render/supervise: what the supervised program has to be
//     told; render/plugin: programs of templates, as queries.
//   - render/graph: who uses which query, what a target sees of an answer, and who runs again; snapshots for passes; guards.
//   - render/proposal: what is new on its way to the loop; render/group: which targets share an action, and which actions another
//     configuration changes.
//   - render/pace, render/schedule: when an action may commit, and whose turn it is; render/claims: who writes which path; render/debts:
//     for which files an action has not succeeded yet; render/leases: whose files hold which leased answers.
//   - render/notice, render/sources, render/drift: files that others change: templates, and destinations.
//   - render/status: what the engine reports about itself; render/report: what it logs as long as that lasts; render/history: what
//     commits did, and events; render/setting: what it knows about templates and actions.
//
// # Terms
//
//   - An output is what a finished pass wants on disk. It is wanted, then in flight, then applied; or rejected, and wanted
//     again later. No output of an earlier pass takes its place.
//   - An action is pending until it has succeeded for all files that it is for. Each of these files is a debt of the action, which
//     is on disk, too: in the intent mark of its folder.
//   - A proposal is all that changes targets from outside: a new configuration, or other texts of templates.
//
// # The rules
//
// The whole meaning of the program. Comments in the code refer to them by number, and each has a test of its name.
//
//   - R1 Ask. Executing a template records every query that it asks. The same query, from however many targets, has one
//     watcher.
//   - R2 Three answers. A query is pending, has a value, or is absent: answered, and the name does not exist. While it is pending
//     functions return zero values and go on, so that one pass finds all queries of a level. The function key needs a
//     value; keyOrDefault and keyExists accept absence. What a program of a template prints (plugin) is a query, too: it is
//     asked again when another answer that the template used has changed.
//   - R3 Cut off. An answer equal to the last one changes nothing. An error changes nothing but the status: the last good
//     answer stays. Check output and indexes are not part of the comparison.
//   - R4 Finished. A pass is finished if nothing was pending, nothing needed was absent, and nothing failed. Only finished
//     passes give output. An error in a pass with pending queries is not an error.
//   - R5 When to run. A target runs again when (a) the last of the queries that were pending in its last pass has been
//     answered, or (b) a query for which it had an answer gets a different one, or (c) it is reported as blocked and one of
//     the pending queries has been answered: the others may have been asked only for want of that answer. A pass
//     sees the answers as they were when it began; what changes while it lasts comes after it. A target has one pass at a time.
//   - R6 Forget late. A pass that ran to its end with nothing pending replaces a target's set of queries, also where an answer
//     is absent. Another pass adds to the set, and drops what so many passes in a row have not asked ([graph.MaxKept]). A query that
//     nobody uses is not watched any longer.
//   - R7 Pace. An action that was quiet commits at once, with all that has arrived. After that its commits are at least its
//     spacing apart, and the last change is always committed. With a wait, changes collect until nothing has changed for
//     its minimum, at most until its maximum after the first; the first complete render does not wait. One clock an action. A commit that
//     failed is repeated no sooner than the spacing after it. The supervised program has a clock of its own, with a spacing of
//     DefaultSpacing: it is notified once of a change, when no commit is in flight, but no later than ten seconds after the change.
//     After passes the action rests for thirty times what they took, and a second at most. So a template that changes often uses
//     a small part of a processor, but for one whose passes take seconds: it may use most of one, and nothing else waits for it.
//     A target rests so, too, after a pass that took long and did not finish, unless that waits for answers.
//   - R8 Commit. Stage all changed files, swap all, check, command, verify. A file that cannot be written is left out, unless
//     the action is atomic. Any failure after that puts every file back, and runs the command again where it had run. With
//     several files in a failed check, each is tried alone, so that one bad file cannot hold the others, unless the action is
//     atomic. A command that fails where there were no files before, or before the supervised program has been started, leaves
//     the new ones: what it reloads may need them to start. So does one that fails where the old ones have credentials that have
//     ended, or end before another attempt. Before that start nothing is verified. Later, a verification comes
//     after the supervised program was notified. What writeToFile appends is appended once, after the action has succeeded. A path
//     that writeToFile writes belongs to one target, by whatever name; only to append several may share one.
//   - R9 One commit of an action at a time. Changes that come meanwhile lead to another. Actions do not wait for each other.
//   - R10 A new configuration is a transaction. All of it is loaded and checked first; on any error nothing changes, and the
//     previous one stays in effect. Targets that are the same keep their output, answers and watchers, and nothing runs for them; the
//     debts of actions pass to those that follow them; a supervised program that is the same is left alone. So it is with a
//     template that changes on disk, where that is watched: it is a proposal, too, and a text that cannot be used changes
//     nothing.
//   - R11 Doubt keeps data. An answer that takes something to nothing counts only once a leader-consistent read confirms it,
//     and so does one that is older than what is known. An answer that is leaderless or filtered by ACLs is an error, not
//     data. (Package watch sees to this.)
//   - R12 It does not die. In the daemon no failure ends the engine. Each is scoped to the query, target or action that it
//     belongs to, is retried with a capped, jittered back-off, and shows in log and status. A pass that takes longer than a minute
//     is a failure of its template. One that goes on at the end of the engine is left behind.
//   - R13 Applied is what counts. A file is done when its action has succeeded, not when its bytes are on disk. What failed
//     or was interrupted is repeated until it succeeds, also by the next start. Each folder of a commit has one intent mark, on
//     disk before the first swap; all of them end in one step; an old file is believed only for the new file that it was saved for.
//     So it is with credentials: a lease ends when no file holds its answer any more, and the actions of all have succeeded. A supervised
//     program holds what its files had until it is notified of others.
//   - R14 Blocked is loud. A target that cannot finish is reported after five seconds and then every minute: what it waits
//     for, and where in which template. So is a pass that takes longer than five seconds.
//
// Targets that name the same action share it; targets without one but with an equal command share an action made of that
// command; a target without a command is alone. An action commits when no member is pending. Members that are blocked
// (absent, failed) are left out and the rest go ahead, unless the action is atomic: then all or none. A pending member,
// whether its queries fail or do not answer, counts as blocked once it has held the others for ten seconds; so does one whose
// pass takes longer. Each member has one pass for a commit; what changes after it leads to the next commit.
//
// A target can keep some distance from lists of instances: [Target.RemoveDelay] delays what goes, a [graph.Guard] holds back
// large losses. An answer is for such a target what it sees of it: where that does not change, nothing has (R3).
package render
