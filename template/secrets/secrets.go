// Package secrets finds out about secrets, and about templates that use them: fields of a secret, values in an answer, parts of
// these in a text, and which fields of certificates a template reads. It asks and keeps nothing.
package secrets

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/template/parse"

	"render/watch"
)

// Field returns a field of a secret, nil where the secret lacks it. The fields of a KV v2 are those of the version.
func Field(secret *watch.Secret, field string) any {
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

// Any reports whether is accepts one of the texts and numbers of an answer, however deep they are in it.
func Any(value any, is func(string) bool) bool {
	all := func(values ...string) bool {
		return slices.ContainsFunc(values, func(s string) bool { return s != "" && is(s) })
	}
	switch value := value.(type) {
	case string:
		return all(value)
	case json.Number:
		return all(value.String())
	case []any:
		return slices.ContainsFunc(value, func(v any) bool { return Any(v, is) })
	case map[string]any:
		for _, v := range value {
			if Any(v, is) {
				return true
			}
		}
	case *watch.Secret:
		return value != nil && (Any(value.Data, is) || all(value.LeaseID) ||
			value.Auth != nil && all(value.Auth.ClientToken, value.Auth.Accessor) ||
			value.WrapInfo != nil && all(value.WrapInfo.Token, value.WrapInfo.WrappedAccessor))
	case *watch.PKICert:
		return value != nil && all(append([]string{value.Cert, value.Key, value.CA}, value.CAChain...)...)
	case *watch.NomadVar:
		return value != nil && all(value.Items.Values()...)
	case *watch.LeafCert:
		return value != nil && all(value.CertPEM, value.PrivateKeyPEM)
	}
	return false
}

// Parts find parts of secrets in texts, however many secrets there are: names of queries come in tens of thousands.
type Parts struct {
	whole map[string]bool // all secrets
	long  map[uint64]bool // all parts of 8 bytes
	size  int             // bytes of all secrets
}

const maxParts = 1 << 20 // bytes of secrets in which parts are found; in more, each text is one

// Add adds all values of an answer.
func (p *Parts) Add(answer any) { Any(answer, p.add) }

// add adds a value. It returns false, for Any.
func (p *Parts) add(secret string) bool {
	if p.whole == nil {
		p.whole, p.long = make(map[string]bool), make(map[uint64]bool)
	}
	if p.size += len(secret); p.size > maxParts {
		return false
	}
	p.whole[secret] = true
	for i := range max(0, len(secret)-7) {
		p.long[binary.LittleEndian.Uint64([]byte(secret[i:i+8]))] = true
	}
	return false
}

// In reports whether a text is a secret, or has one of 6 bytes at least, or a part of 8 bytes of one. Less is in many names.
func (p *Parts) In(text string) bool {
	if p.whole[text] || p.size > maxParts {
		return true
	}
	for i := range len(text) {
		for n := 6; n < 8 && i+n <= len(text); n++ {
			if p.whole[text[i:i+n]] {
				return true
			}
		}
		if i+8 <= len(text) && p.long[binary.LittleEndian.Uint64([]byte(text[i:i+8]))] {
			return true
		}
	}
	return false
}

// certFields are the fields of a certificate that a file may have, or not.
var certFields = strings.Fields("CA CAChain Cert Key")

// CertFields returns which fields of a certificate, of those that a file may lack, stand anywhere in trees. A field of another value
// with the same name is among them: a file that lacks it then gets another certificate when render starts, but none lacks what the
// template needs.
func CertFields(trees map[string]*parse.Tree) []string {
	var used []string
	for _, tree := range trees {
		each(tree.Root, func(n parse.Node) {
			var names []string
			switch n := n.(type) {
			case *parse.ChainNode:
				names = n.Field
			case *parse.FieldNode:
				names = n.Ident
			case *parse.VariableNode:
				names = n.Ident[1:]
			}
			for _, name := range names {
				if slices.Contains(certFields, name) && !slices.Contains(used, name) {
					used = append(used, name)
				}
			}
		})
	}
	slices.Sort(used)
	return used
}

// CertFiles returns the absolute paths of files in which certificates can be found again: the destination, unless it is empty, and those
// of writeToFile that stand as constants in what the template executes. Other paths are known only during an execution. There are none where
// two certificates may have the same names: a file does not say which of two roles has issued its certificate, and that of a client must
// not get into the file of a server.
func CertFiles(destination string, trees map[string]*parse.Tree) (files []string, err error) {
	paths, names := []string{destination}, []string(nil)
	called := make(map[string]bool) // calls of pkiCert with a constant path
	for _, tree := range executed(trees) {
		each(tree.Root, func(n parse.Node) {
			command, isCommand := n.(*parse.CommandNode)
			if !isCommand {
				return
			}
			function, args := constants(command)
			switch {
			case function == "writeToFile" && len(args) > 0:
				paths = append(paths, args[0])
			case function == "pkiCert" && !called[command.String()]:
				called[command.String()] = len(args) > 0 && args[0] != ""
				names = append(names, commonName(args))
			}
		})
	}
	slices.Sort(names)
	if len(names) > 1 && (names[0] == "" || len(slices.Compact(slices.Clone(names))) < len(names)) {
		return nil, nil
	}
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		if path == "" {
			continue
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", path, err)
		}
		files = append(files, absolute)
	}
	return files, nil
}

// executed returns those trees that the one without a name executes, as far as the text says: other templates use the same partials.
func executed(trees map[string]*parse.Tree) map[string]*parse.Tree {
	found := make(map[string]*parse.Tree)
	var add func(name string)
	add = func(name string) {
		if trees[name] == nil || found[name] != nil {
			return
		}
		found[name] = trees[name]
		each(trees[name].Root, func(n parse.Node) {
			switch n := n.(type) {
			case *parse.TemplateNode:
				add(n.Name)
			case *parse.CommandNode:
				switch function, args := constants(n); {
				case function != "executeTemplate":
				case len(args) > 0 && args[0] != "":
					add(args[0])
				default: // it may be any
					for name := range trees {
						add(name)
					}
				}
			}
		})
	}
	add("")
	return found
}

// constants returns the function that a command calls, "" for none, and its arguments. One that is no text of the template is empty.
func constants(n *parse.CommandNode) (function string, args []string) {
	call, isCall := n.Args[0].(*parse.IdentifierNode)
	if !isCall {
		return "", nil
	}
	for _, arg := range n.Args[1:] {
		text := ""
		if constant, ok := arg.(*parse.StringNode); ok {
			text = constant.Text
		}
		args = append(args, text)
	}
	return call.Ident, args
}

// commonName returns the name of a certificate that constants of pkiCert ask for, "" where that or the path is not known.
func commonName(args []string) (name string) {
	if len(args) == 0 || args[0] == "" {
		return ""
	}
	for _, arg := range args[1:] {
		if key, value, _ := strings.Cut(arg, "="); strings.TrimSpace(key) == "common_name" {
			name = strings.ToLower(strings.TrimSpace(value))
		}
	}
	return name
}

// each calls do for each command below a node, for each of its arguments, and for each {{template}}.
func each(n parse.Node, do func(parse.Node)) {
	branch := func(n *parse.BranchNode) {
		each(n.Pipe, do)
		each(n.List, do)
		each(n.ElseList, do)
	}
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, child := range n.Nodes {
				each(child, do)
			}
		}
	case *parse.ActionNode:
		each(n.Pipe, do)
	case *parse.TemplateNode:
		each(n.Pipe, do)
		do(n)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.PipeNode:
		if n != nil {
			for _, command := range n.Cmds {
				do(command)
				for _, arg := range command.Args {
					each(arg, do)
				}
			}
		}
	case *parse.ChainNode:
		each(n.Node, do)
		do(n)
	default:
		do(n)
	}
}
