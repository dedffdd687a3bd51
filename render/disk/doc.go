// Package disk brings contents to one destination, safely, in folders that others may write to.
//
// # How a destination is reached
//
// The path of a destination is resolved once, component by component, on directory descriptors. No component is followed
// blindly: a link is followed only where it belongs to root or to us, or to the owner of what it leads to. After that the
// destination is a name in a folder, and the folder is a path without links plus a device and inode number. Each operation
// opens the folder again without following any link, compares the numbers and works relative to the descriptor. So nobody
// can redirect an operation to another folder, and a batch of any size needs a handful of descriptors.
//
// Contents, owner, mode and extended attributes are read and written through descriptors only.
//
// # What is on disk beside a destination
//
// The names begin with a dot, so that no "include conf.d/*" reads them:
//
//	.render-NAME-123    a file that is being written
//	.render-NAME.old    the saved file: the destination before the swap
//	.render-NAME.owed   the intent mark: the action has yet to succeed for the files that it lists
//
// # What a crash leaves
//
// The saved files are made first, then the mark is written and synced, then the folder is synced, and only then the files
// are swapped. When the action has succeeded the mark is removed and the folder synced, and then the saved files are
// removed. At any point each destination has its old or its new contents, whole, and the mark says which action has to be
// repeated. Files that can only be written in place (mounted files) are the exception: see [File.Swap].
//
// A commit over several folders has a mark in each of them, and the action succeeds for all of them in one step. The marks
// refer to the first mark. When the action has succeeded, the first mark is replaced by one that names the others as settled.
// That is the step. Then the other marks are removed, then the first. A start asks the first mark whether another mark still
// applies. Where it says nothing, or cannot be read, the action is repeated.
package disk
