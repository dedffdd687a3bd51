// Package folder opens folders and files in a tree that others may write to, so that nobody can redirect an operation.
//
// The way to a destination is resolved once, component by component, on directory descriptors ([Resolve]). No component is
// followed blindly: a link is followed only where it belongs to root or to us, or to the owner of what it leads to
// ([LinkRule]). The result is a name in a [Folder]: a path without links plus a device and inode number. Each later operation
// opens the folder again without following any link, compares the numbers and works relative to the descriptor ([Dir]). So a
// batch of any size needs a handful of descriptors.
//
// Contents, owner, mode and extended attributes are read and written through descriptors ([Handle]), and only those of
// regular files. The last name of an operation is never followed: a link in its place is an error, or is replaced as a name.
//
// # What is where
//
//   - walk.go: the way to a destination, which links are followed, missing folders; paths that are compared.
//   - dir.go: an open folder, and regular files in it.
//   - handle.go: an open file, what fstat says about it, and each call of the system.
//   - sys_linux.go, sys_other.go: paths without links in one step, extended attributes.
//
// The package knows no destination, no action and no name of a file of ours: see package disk.
package folder
