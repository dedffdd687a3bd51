package vaulttest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"render/watch/servertest"
)

// A Database is a database of a Server: Vault creates its users, and drops them when their leases end. Its users are files. It
// accepts users whether Vault is there or not.
type Database struct {
	server *Server
	mount  string
	folder string
}

// databaseBinary returns the program that Vault creates users with: $VAULT_USERS, or what `make vault` has built.
func databaseBinary() (string, error) {
	return servertest.Binary("VAULT_USERS", "vault-users-"+Version, "database", "vault")
}

func (s *Server) plugins() string { return filepath.Join(s.home, "plugins") }

// NewDatabase gives the server a database, at a mount such as "db".
func (s *Server) NewDatabase(t testing.TB, mount string) *Database {
	t.Helper()
	binary, err := databaseBinary()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.plugins(), "users"), program, 0o700); err != nil {
		t.Fatal(err)
	}
	db := &Database{server: s, mount: mount, folder: filepath.Join(s.home, "users")}
	s.Put(t, "sys/plugins/catalog/database/users", map[string]any{"sha256": fmt.Sprintf("%x", sha256.Sum256(program)), "command": "users"})
	s.Put(t, "sys/mounts/"+mount, map[string]any{"type": "database"})
	s.Put(t, mount+"/config/users", map[string]any{"plugin_name": "users", "connection_url": db.folder, "allowed_roles": "*"})
	return db
}

// NewRole makes MOUNT/creds/NAME bring a user whose lease lasts for a time, with all renewals for a longer one.
func (db *Database) NewRole(t testing.TB, name string, lasts, most time.Duration) {
	t.Helper()
	db.server.Put(t, db.mount+"/roles/"+name, map[string]any{
		"db_name": "users", "creation_statements": "create", "default_ttl": lasts.String(), "max_ttl": most.String(),
	})
}

// Accepts reports whether there is a user with a password.
func (db *Database) Accepts(user, password string) bool {
	text, err := os.ReadFile(filepath.Join(db.folder, filepath.Base(user)))
	return err == nil && user != "" && string(text) == password
}

// Users returns the names of all users.
func (db *Database) Users(t testing.TB) (names []string) {
	t.Helper()
	files, err := os.ReadDir(db.folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, file := range files {
		if filepath.Ext(file.Name()) != ".new" {
			names = append(names, file.Name())
		}
	}
	return names
}
