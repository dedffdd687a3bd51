package disk

import (
	"io/fs"
	"math"
	"os/user"
	"strconv"

	"render/render/disk/folder"
)

// Options say how a destination is written.
type Options struct {
	Perms       fs.FileMode // 0: those of the file that is there, 0644 for a new one
	User, Group string      // name or ID; "": that of the file that is there
	Backup      bool        // the file before the last applied change is kept as DESTINATION.bak
	NoFolders   bool        // a missing folder is an error, and not made
	RefuseLinks bool        // a destination that is a link is an error, and not followed
}

const newFileMode = 0o644

// An owner is a user and a group. An ID of -1 stands for none in particular.
type owner struct{ uid, gid int }

// attributes are what a file has beside its contents. An ID of -1 stands for what a new file gets by itself.
type attributes struct {
	mode fs.FileMode
	owner
}

// attributesOf returns the attributes of a file.
func attributesOf(i folder.Info) attributes { return attributes{i.Mode, owner{i.UID, i.GID}} }

// Find returns an error where there is no such user or group.
func (o Options) Find() error {
	_, err := o.owner()
	return err
}

// owner returns the IDs of User and Group.
func (o Options) owner() (owner, error) {
	ids := owner{-1, -1}
	var err error
	if o.User != "" {
		if ids.uid, err = userID(o.User); err != nil {
			return ids, err
		}
	}
	if o.Group != "" {
		ids.gid, err = groupID(o.Group)
	}
	return ids, err
}

// attributes returns what a file gets. Nil for old means that no file exists. Bits that give rights of the owner or the group
// to others are not passed on to another owner or group.
func (o Options) attributes(ids owner, old *folder.Info) attributes {
	want := attributes{newFileMode, owner{-1, -1}}
	if old != nil {
		want = attributesOf(*old)
	}
	if ids.uid >= 0 {
		want.uid = ids.uid
	}
	if ids.gid >= 0 {
		want.gid = ids.gid
	}
	switch {
	case o.Perms != 0:
		want.mode = o.Perms
	case old != nil && want.owner != attributesOf(*old).owner:
		want.mode &= fs.ModePerm
	}
	want.mode &= fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	return want
}

// keepsOwner reports whether a file keeps the owner and the group that it has because the options name no other. Where that is
// not allowed the file is ours.
func (o Options) keepsOwner() bool { return o.User == "" && o.Group == "" }

func (o Options) rule(write bool) folder.LinkRule {
	switch {
	case write:
		return folder.WriteLinks
	case o.RefuseLinks:
		return folder.RootLinks
	}
	return folder.TrustedLinks
}

func userID(name string) (int, error) {
	if id, isNumber := numericID(name); isNumber {
		return id, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(u.Uid)
}

func groupID(name string) (int, error) {
	if id, isNumber := numericID(name); isNumber {
		return id, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

// numericID returns the ID that a text is, if it is one. The largest number stands for none.
func numericID(text string) (id int, isNumber bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return int(n), err == nil && n != math.MaxUint32
}
