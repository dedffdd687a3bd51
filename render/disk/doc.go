// Package disk brings contents to one destination, safely, in folders that others may write to.
//
// # How a destination is reached
//
// Package folder resolves the path of a destination once, and follows no link blindly. After that the destination is a name in
// a folder that cannot be exchanged for another one: each operation opens the folder again and checks that it is the same.
// Contents, owner, mode and extended attributes are read and written through descriptors only.
//
// # What is where
//
//   - batch.go: the destinations of one commit: stage, save, complete, close; which marks are written when.
//   - file.go: one destination: compare, stage, swap, undo.
//   - temporary.go, options.go: a new file beside a destination, its mode, its owner; syncs.go: many are synced together.
//   - mark.go, names.go: the intent mark, and the names of our files.
//   - recall.go, leftovers.go: what an earlier run left.
//   - expect.go: whether a destination is still as it should be. append.go: what is added to the end of a file.
//   - folder: how folders and files are opened where others may write.
//
// # What is on disk beside a destination
//
// The names begin with a dot, so that no "include conf.d/*" reads them:
//
//	.render-NAME-123    a file that is being written
//	.render-NAME.old    the saved file: the destination before the swap
//	.render-NAME.owed   the intent mark: the action has not succeeded yet for the files that it lists
//
// # What a crash leaves
//
// The saved files are made first, then the mark is written and synced, then the folder is synced, and only then the files
// are swapped. When the action has succeeded the mark is removed and the folder synced, and then the saved files are
// removed. At any point each destination has its old or its new contents, whole, and the mark says which action has to be
// repeated. Files that can only be written in place (mounted files) are the exception: see [File.Swap].
//
// A commit over several folders has a mark in each of them, and the action succeeds for all of them in one step. The marks
// refer to the first mark. When the action has succeeded, the first mark is replaced by one that names the others as completed.
// That is the step. Then the other marks are removed, then the first. A start asks the first mark whether another mark still
// applies. Where it says nothing, or cannot be read, the action is repeated.
package disk
