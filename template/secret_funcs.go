package template

import (
	"errors"

	"render/template/funcs"
	"render/template/secrets"

	"render/watch"
)

// secret reads what Vault has at a path or, with further arguments, writes these as KEY=VALUE and returns what Vault answers. While
// there is no answer it returns nil without a type, whose fields are empty, so that a pass goes on. Nil of the type of a secret
// is what Vault answers to a write with an empty answer.
func (a asker) secret(args ...string) (any, error) {
	switch len(args) {
	case 0:
		return nil, nil
	case 1:
		q, err := a.secretQuery(args[0])
		if err != nil || q == (watch.Query{}) {
			return nil, funcs.Wrap("secret", err)
		}
		return a.copied(needed[*watch.Secret](a, q))
	}
	if a.waits() {
		return nil, nil
	}
	if err := a.checkPath(args[0]); err != nil {
		return nil, funcs.Wrap("secret", err)
	}
	q, err := watch.NewSecretWrite(args[0], args[1:]...)
	if err != nil {
		return nil, funcs.Wrap("secret", err)
	}
	value, answered := a.pass.ask(a.site, q)
	secret, found := value.(*watch.Secret)
	switch {
	case found && secret == nil:
		return secret, nil
	case answered && !found:
		a.pass.need(a.site, q)
	}
	return a.copied(secret)
}

// secretQuery returns the query for a path, and no query where the path is empty because something is unanswered.
func (a asker) secretQuery(path string) (watch.Query, error) {
	q, err := a.pass.query(watch.KindSecret, path, func(_, path string) (watch.Query, error) {
		if err := a.checkPath(path); err != nil {
			return watch.Query{}, err
		}
		return watch.NewSecret(path)
	})
	if err != nil && a.pass.unanswered() {
		a.leaveOut()
		return watch.Query{}, nil
	}
	return q, err
}

// errParent does not name the path, which may have a secret in it.
var errParent = errors.New("the path has the segment .., and a part of it is not in the template's text; data must not lead to another path")

// checkPath refuses a path that data lead elsewhere.
func (a asker) checkPath(path string) error {
	if watch.HasParent(path) && !a.pass.inText(path) {
		return errParent
	}
	return nil
}

// waits reports whether something is unanswered, and notes that a query was left out. An argument of a write, or the condition
// around it, may come from the zero value that stands in for an answer, and nothing must be written because of that.
func (a asker) waits() bool {
	if !a.pass.unanswered() {
		return false
	}
	a.leaveOut()
	return true
}

// leaveOut notes that a query was left out: neither the pass nor an iteration of a range is complete.
func (a asker) leaveOut() {
	a.pass.skipped = true
	if a.pass.recording != nil {
		a.pass.recording.useless = true
	}
}

// copied returns a secret as the template can have it: the functions set and merge change maps, and the answer belongs to
// all templates.
func (a asker) copied(secret *watch.Secret) (any, error) {
	if secret == nil {
		return nil, nil
	}
	data, err := a.pass.funcs.Copy(secret.Data)
	if err != nil {
		return nil, funcs.Wrap("secret", err)
	}
	own := *secret
	own.Data = data
	return &own, nil
}

// secretExists reports whether Vault has a secret at a path.
func (a asker) secretExists(path string) (bool, error) {
	q, err := a.secretQuery(path)
	if err != nil || q == (watch.Query{}) {
		return false, funcs.Wrap("secretExists", err)
	}
	secret, _ := answer[*watch.Secret](a, q)
	return secret != nil, nil
}

// secretOrDefault returns a field of the secret at a path, and a default where there is no secret, or it has no such field. The
// fields of a KV v2 are those of the version.
func (a asker) secretOrDefault(path, field string, byDefault any) (any, error) {
	q, err := a.secretQuery(path)
	if err != nil || q == (watch.Query{}) {
		return byDefault, funcs.Wrap("secretOrDefault", err)
	}
	secret, _ := answer[*watch.Secret](a, q)
	value := secrets.Field(secret, field)
	if value == nil {
		return byDefault, nil
	}
	copied, err := a.pass.funcs.Copy(map[string]any{field: value})
	return copied[field], funcs.Wrap("secretOrDefault", err)
}

// secrets returns the names below a path.
func (a asker) secrets(path string) ([]string, error) {
	if path == "" {
		return []string{}, nil
	}
	err := a.checkPath(path)
	var q watch.Query
	if err == nil {
		q, err = watch.NewSecrets(path)
	}
	if err != nil {
		if a.waits() {
			return []string{}, nil
		}
		return []string{}, funcs.Wrap("secrets", err)
	}
	names, _ := answer[[]string](a, q)
	return names, nil
}

// pkiCert returns a certificate: the one in the files that the template writes, as long as it can be used, or one that Vault issues for
// pairs KEY=VALUE. It is nil while there is no answer.
func (a asker) pkiCert(args ...string) (any, error) {
	if len(args) == 0 || a.waits() {
		return nil, nil
	}
	if err := a.checkPath(args[0]); err != nil {
		return nil, funcs.Wrap("pkiCert", err)
	}
	q, err := watch.NewPKICert(args[0], args[1:], a.pass.certFiles, a.pass.certFields...)
	if err != nil {
		return nil, funcs.Wrap("pkiCert", err)
	}
	if cert := needed[*watch.PKICert](a, q); cert != nil {
		return cert, nil
	}
	return nil, nil
}
