package template

import (
	"errors"
	"slices"
	"strings"
	"text/template/parse"

	"render/template/funcs"

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

// secretQuery returns the query for a path, and no query where the path is none because something is unanswered.
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
	value := fieldOf(secret, field)
	if value == nil {
		return byDefault, nil
	}
	copied, err := a.pass.funcs.Copy(map[string]any{field: value})
	return copied[field], funcs.Wrap("secretOrDefault", err)
}

func fieldOf(secret *watch.Secret, field string) any {
	if secret == nil {
		return nil
	}
	metadata, _ := secret.Data["metadata"].(map[string]any)
	version, isVersion := secret.Data["data"].(map[string]any)
	if isVersion && len(secret.Data) == 2 && metadata["version"] != nil && metadata["created_time"] != nil {
		return version[field]
	}
	return secret.Data[field]
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

// pkiCert returns a certificate: the one in the template's destination, as long as it can be used, or one that Vault issues for
// pairs KEY=VALUE. It is nil while there is no answer.
func (a asker) pkiCert(args ...string) (any, error) {
	if len(args) == 0 || a.waits() {
		return nil, nil
	}
	if err := a.checkPath(args[0]); err != nil {
		return nil, funcs.Wrap("pkiCert", err)
	}
	q, err := watch.NewPKICert(args[0], args[1:], a.pass.destination, a.pass.certFields...)
	if err != nil {
		return nil, funcs.Wrap("pkiCert", err)
	}
	if cert := needed[*watch.PKICert](a, q); cert != nil {
		return cert, nil
	}
	return nil, nil
}

// certFields are the fields of a certificate that a file may have, or not.
var certFields = strings.Fields("CA CAChain Cert Key")

// usedCertFields returns those that stand anywhere in trees. A field of another value with the same name is among them: a file
// that lacks it then gets another certificate when render starts, but none lacks what the template needs.
func usedCertFields(trees map[string]*parse.Tree) []string {
	var used []string
	for _, tree := range trees {
		eachField(tree.Root, func(name string) {
			if slices.Contains(certFields, name) && !slices.Contains(used, name) {
				used = append(used, name)
			}
		})
	}
	slices.Sort(used)
	return used
}

// eachField calls do for each field that is read below a node.
func eachField(n parse.Node, do func(name string)) {
	branch := func(n *parse.BranchNode) {
		eachField(n.Pipe, do)
		eachField(n.List, do)
		eachField(n.ElseList, do)
	}
	names := func(all []string) {
		for _, name := range all {
			do(name)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, child := range n.Nodes {
				eachField(child, do)
			}
		}
	case *parse.ActionNode:
		eachField(n.Pipe, do)
	case *parse.TemplateNode:
		eachField(n.Pipe, do)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.PipeNode:
		if n != nil {
			for _, command := range n.Cmds {
				for _, arg := range command.Args {
					eachField(arg, do)
				}
			}
		}
	case *parse.ChainNode:
		eachField(n.Node, do)
		names(n.Field)
	case *parse.FieldNode:
		names(n.Ident)
	case *parse.VariableNode:
		names(n.Ident[1:])
	}
}
