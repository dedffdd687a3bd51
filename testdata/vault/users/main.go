// Command users is a database of Vault for tests: its users are files in the folder connection_url, one each, that hold the password.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	dbplugin "github.com/hashicorp/vault/sdk/database/dbplugin/v5"
)

func main() {
	dbplugin.ServeMultiplex(func() (any, error) { return new(users), nil })
}

// users implements dbplugin.Database.
type users struct{ folder string }

func (u *users) Initialize(_ context.Context, req dbplugin.InitializeRequest) (dbplugin.InitializeResponse, error) {
	u.folder, _ = req.Config["connection_url"].(string)
	if u.folder == "" {
		return dbplugin.InitializeResponse{}, errors.New("connection_url must be a folder")
	}
	return dbplugin.InitializeResponse{Config: req.Config}, os.MkdirAll(u.folder, 0o700)
}

func (u *users) NewUser(_ context.Context, req dbplugin.NewUserRequest) (dbplugin.NewUserResponse, error) {
	name := strings.ToLower(fmt.Sprintf("%s-%s", req.UsernameConfig.RoleName, rand.Text()[:12]))
	return dbplugin.NewUserResponse{Username: name}, u.write(name, req.Password)
}

func (u *users) UpdateUser(_ context.Context, req dbplugin.UpdateUserRequest) (dbplugin.UpdateUserResponse, error) {
	if req.Password == nil {
		return dbplugin.UpdateUserResponse{}, nil
	}
	return dbplugin.UpdateUserResponse{}, u.write(req.Username, req.Password.NewPassword)
}

func (u *users) DeleteUser(_ context.Context, req dbplugin.DeleteUserRequest) (dbplugin.DeleteUserResponse, error) {
	err := os.Remove(filepath.Join(u.folder, req.Username))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return dbplugin.DeleteUserResponse{}, err
}

// write makes a user, or replaces the password of one, at once.
func (u *users) write(name, password string) error {
	path := filepath.Join(u.folder, name)
	if err := os.WriteFile(path+".new", []byte(password), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (u *users) Type() (string, error) { return "users", nil }

func (u *users) Close() error { return nil }
