package template

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"render/template/funcs"

	"render/watch"
)

// queryFuncs are the functions that query data, and below them those that make named arguments. Each entry makes the
// function for one call in a text: to add one, add a line here, and a kind to package watch where it needs one.
var queryFuncs = map[string]func(asker) any{
	"service":          func(a asker) any { return a.service },
	"connect":          func(a asker) any { return a.connect },
	"services":         func(a asker) any { return a.services },
	"node":             func(a asker) any { return a.node },
	"nodes":            func(a asker) any { return a.nodes },
	"datacenters":      func(a asker) any { return a.datacenters },
	"partitions":       func(a asker) any { return a.partitions },
	"peerings":         func(a asker) any { return a.peerings },
	"exportedServices": func(a asker) any { return a.exportedServices },
	"importedServices": func(a asker) any { return a.importedServices },
	"caRoots":          func(a asker) any { return a.caRoots },
	"caLeaf":           func(a asker) any { return a.caLeaf },
	"key":              func(a asker) any { return a.key },
	"keyOrDefault":     func(a asker) any { return a.keyOrDefault },
	"key_or_default":   func(a asker) any { return a.keyOrDefault }, // its old name
	"keyExists":        func(a asker) any { return a.keyExists },
	"ls":               func(a asker) any { return a.ls },
	"tree":             func(a asker) any { return a.tree },
	"safeLs":           func(a asker) any { return a.safeLs },
	"safeTree":         func(a asker) any { return a.safeTree },
	"file":             func(a asker) any { return a.file },
	"plugin":           func(a asker) any { return a.plugin },
	"secret":           func(a asker) any { return a.secret },
	"vault":            func(a asker) any { return a.secret }, // its old name
	"secrets":          func(a asker) any { return a.secrets },
	"secretExists":     func(a asker) any { return a.secretExists },
	"secretOrDefault":  func(a asker) any { return a.secretOrDefault },
	"pkiCert":          func(a asker) any { return a.pkiCert },
	"nomadServices":    func(a asker) any { return a.nomadServices },
	"nomadService":     func(a asker) any { return a.nomadService },
	"nomadVar":         func(a asker) any { return a.nomadVar },
	"nomadVarExists":   func(a asker) any { return a.nomadVarExists },
	"nomadVarList":     func(a asker) any { return a.nomadVarList },
	"nomadVarListSafe": func(a asker) any { return a.nomadVarListSafe },

	"name":           named("name", optName),
	"dc":             named("dc", watch.OptDatacenter),
	"near":           named("near", watch.OptNear),
	"ns":             named("ns", watch.OptNamespace),
	"partition":      named("partition", watch.OptPartition),
	"peer":           named("peer", watch.OptPeer),
	"samenessGroup":  named("samenessGroup", watch.OptSamenessGroup),
	"filter":         named("filter", watch.OptFilter),
	"tag":            named("tag", watch.OptTag),
	"acceptFiltered": func(asker) any { return acceptFiltered },
	"meta":           func(a asker) any { return a.meta },
	"status":         func(a asker) any { return a.status },
}

// An asker asks queries on behalf of one call in a template's text.
type asker struct {
	pass *pass
	site int
}

// answer returns the value of a query, or the zero value of its type where there is no answer yet or none at all (R2).
func answer[T any](a asker, q watch.Query) (value T, found bool) {
	v, _ := a.pass.ask(a.site, q)
	value, found = v.(T)
	return value, found
}

// needed is answer for a query without which the template cannot finish (R2).
func needed[T any](a asker, q watch.Query) T {
	v, answered := a.pass.ask(a.site, q)
	value, found := v.(T)
	if answered && !found {
		a.pass.need(a.site, q)
	}
	return value
}

// list returns the answer to the query that a function's arguments ask, an empty list where they ask nothing.
func list[T any](a asker, function, kind string, f form, args []any) ([]T, error) {
	q, err := a.query(kind, f, args)
	if err != nil {
		return []T{}, funcs.Wrap(function, err)
	}
	if q == (watch.Query{}) {
		a.pass.addSuspect(Suspect{a.pass.template.sites[a.site], noName})
		return []T{}, nil
	}
	all, _ := answer[[]T](a, q)
	return all, nil
}

func (a asker) service(args ...any) ([]*watch.HealthService, error) {
	return list[*watch.HealthService](a, "service", watch.KindService, instancesForm, args)
}

func (a asker) connect(args ...any) ([]*watch.HealthService, error) {
	return list[*watch.HealthService](a, "connect", watch.KindConnect, instancesForm, args)
}

func (a asker) services(args ...any) ([]*watch.CatalogSnippet, error) {
	return list[*watch.CatalogSnippet](a, "services", watch.KindServices, servicesForm, args)
}

// node returns nil while there is no answer, and a CatalogNode without a Node where there is no such node.
func (a asker) node(args ...any) (*watch.CatalogNode, error) {
	q, err := a.query(watch.KindNode, nodeForm, args)
	if err != nil {
		return nil, funcs.Wrap("node", err)
	}
	v, answered := a.pass.ask(a.site, q)
	node, found := v.(*watch.CatalogNode)
	if answered && !found {
		return &watch.CatalogNode{}, nil
	}
	return node, nil
}

func (a asker) nodes(args ...any) ([]*watch.Node, error) {
	return list[*watch.Node](a, "nodes", watch.KindNodes, nodesForm, args)
}

func (a asker) datacenters(reachable ...bool) ([]string, error) {
	opts := url.Values{}
	switch {
	case len(reachable) > 1:
		return nil, funcs.Wrap("datacenters", fmt.Errorf("accepts at most one argument, not %d", len(reachable)))
	case len(reachable) == 1 && reachable[0]:
		opts.Set(watch.OptReachable, "true")
	}
	names, _ := answer[[]string](a, watch.NewQuery(watch.KindDatacenters, "", opts))
	return names, nil
}

func (a asker) partitions() []*watch.Partition {
	all, _ := answer[[]*watch.Partition](a, watch.NewQuery(watch.KindPartitions, "", nil))
	return all
}

func (a asker) peerings(args ...any) ([]*watch.Peering, error) {
	return list[*watch.Peering](a, "peerings", watch.KindPeerings, peeringsForm, args)
}

func (a asker) exportedServices(partition ...string) ([]watch.ExportedService, error) {
	if len(partition) > 1 {
		return nil, funcs.Wrap("exportedServices", fmt.Errorf("accepts at most one partition, not %d", len(partition)))
	}
	all, _ := answer[[]watch.ExportedService](a, inPartition(watch.KindExportedServices, strings.Join(partition, "")))
	return all, nil
}

func (a asker) importedServices(partition ...string) ([]watch.ImportedService, error) {
	if len(partition) != 1 || partition[0] == "" {
		return nil, funcs.Wrap("importedServices", errors.New("needs the name of one partition"))
	}
	all, _ := answer[[]watch.ImportedService](a, inPartition(watch.KindImportedServices, partition[0]))
	return all, nil
}

func inPartition(kind, partition string) watch.Query {
	opts := url.Values{}
	if partition != "" {
		opts.Set(watch.OptPartition, partition)
	}
	return watch.NewQuery(kind, "", opts)
}

// caRoots takes no notice of its arguments.
func (a asker) caRoots(...any) []*watch.CARoot {
	roots, _ := answer[[]*watch.CARoot](a, watch.NewQuery(watch.KindCARoots, "", nil))
	return roots
}

// caLeaf takes no notice of all arguments but the first.
func (a asker) caLeaf(args ...string) *watch.LeafCert {
	if len(args) == 0 || args[0] == "" {
		return nil
	}
	leaf, _ := answer[*watch.LeafCert](a, watch.NewQuery(watch.KindCALeaf, args[0], nil))
	return leaf
}

func (a asker) key(args ...any) (string, error) {
	q, err := a.query(watch.KindKV, keyForm, args)
	if err != nil || q == (watch.Query{}) {
		return "", funcs.Wrap("key", err)
	}
	return needed[string](a, q), nil
}

// keyOrDefault takes what key takes, and a text after it.
func (a asker) keyOrDefault(args ...any) (string, error) {
	last := len(args) - 1
	if last < 1 {
		return "", funcs.Wrap("keyOrDefault", errors.New("needs a key and a default"))
	}
	byDefault, ok := args[last].(string)
	if !ok {
		return "", funcs.Wrap("keyOrDefault", errors.New("the last argument, the default, is not a text"))
	}
	q, err := a.query(watch.KindKV, keyForm, args[:last])
	if err != nil || q == (watch.Query{}) {
		return byDefault, funcs.Wrap("keyOrDefault", err)
	}
	if value, _ := answer[string](a, q); value != "" {
		return value, nil
	}
	return byDefault, nil
}

func (a asker) keyExists(args ...any) (bool, error) {
	q, err := a.query(watch.KindKV, keyForm, args)
	if err != nil || q == (watch.Query{}) {
		return false, funcs.Wrap("keyExists", err)
	}
	_, found := answer[string](a, q)
	return found, nil
}

// ls returns the keys directly below a prefix.
func (a asker) ls(args ...any) ([]*watch.KeyPair, error) { return a.below("ls", args, isChild, false) }

// tree returns all keys below a prefix but those of folders.
func (a asker) tree(args ...any) ([]*watch.KeyPair, error) {
	return a.below("tree", args, isLeaf, false)
}

// safeLs is ls for a template that cannot do without at least one key.
func (a asker) safeLs(args ...any) ([]*watch.KeyPair, error) {
	return a.below("safeLs", args, isChild, true)
}

// safeTree is tree for a template that cannot do without at least one key.
func (a asker) safeTree(args ...any) ([]*watch.KeyPair, error) {
	return a.below("safeTree", args, isLeaf, true)
}

func isChild(k *watch.KeyPair) bool { return k.Key != "" && !strings.Contains(k.Key, "/") }
func isLeaf(k *watch.KeyPair) bool  { return k.Key != "" && !strings.HasSuffix(k.Key, "/") }

func (a asker) below(function string, args []any, keep func(*watch.KeyPair) bool, needed bool) ([]*watch.KeyPair, error) {
	kept := []*watch.KeyPair{}
	q, err := a.query(watch.KindPrefix, keyForm, args)
	if err != nil || q == (watch.Query{}) {
		return kept, funcs.Wrap(function, err)
	}
	v, answered := a.pass.ask(a.site, q)
	all, _ := v.([]*watch.KeyPair)
	if err := a.pass.funcs.Make(8 * len(all)); err != nil {
		return kept, funcs.Wrap(function, err)
	}
	for _, k := range all {
		if keep(k) {
			kept = append(kept, k)
		}
	}
	if needed && answered && len(kept) == 0 {
		a.pass.need(a.site, q)
	}
	return kept, nil
}

func (a asker) file(path string) (string, error) {
	path = strings.TrimSpace(path)
	if path == "" {
		return "", nil
	}
	q, err := a.fileQuery(path)
	if err != nil {
		return "", funcs.Wrap("file", fmt.Errorf("%s: %w", a.pass.funcs.Quote(path), err))
	}
	return needed[string](a, q), nil
}

// fileQuery returns the query for a file, and an error where the sandbox forbids it. An answer that there is already is
// from inside: whoever gave it minds the sandbox, also while links are swapped.
func (a asker) fileQuery(path string) (watch.Query, error) {
	sandbox := a.pass.sandbox
	if sandbox == "" {
		return watch.NewQuery(watch.KindFile, path, nil), nil
	}
	q := watch.NewQuery(watch.KindFile, path, url.Values{watch.OptSandbox: {sandbox}})
	if _, answered := a.pass.lookup(q); answered {
		return q, nil
	}
	err := a.pass.checkSandbox(path)
	if err != nil {
		a.pass.note(a.pass.askedOf(q), a.site) // so that it is noticed when the link is fixed
	}
	return q, err
}

const sandboxCheckLimit = 100 * time.Millisecond

// checkSandbox returns an error where the sandbox forbids a path. Where a file system hangs it returns nil: whoever answers
// the query checks the path, too, and this pass must not hang. As long as one check hangs no other begins.
func (p *pass) checkSandbox(path string) error {
	if p.sandboxCheck != nil {
		select {
		case <-p.sandboxCheck:
		default:
			return nil
		}
	}

	check, checked := p.checkPath, make(chan error, 1)
	ended := make(chan struct{})
	p.sandboxCheck = ended
	go func() {
		checked <- check(p.sandbox, path)
		close(ended)
	}()

	limit := time.NewTimer(sandboxCheckLimit)
	defer limit.Stop()
	select {
	case err := <-checked:
		p.sandboxCheck = nil
		return err
	case <-limit.C:
		return nil
	}
}

// plugin returns what a program prints, without the whitespace around it. While something is pending or absent it asks
// nothing: an argument may come from the zero value that stands in for an answer, and no program must run with that.
func (a asker) plugin(name string, args ...string) string {
	if name == "" {
		return ""
	}
	if a.waits() {
		return ""
	}
	output, _ := answer[string](a, a.pluginQuery(name, args))
	return strings.TrimSpace(output)
}

func (a asker) pluginQuery(name string, args []string) watch.Query {
	argv := []string{name}
	for _, arg := range args {
		if arg = strings.TrimSpace(arg); arg != "" {
			argv = append(argv, arg)
		}
	}

	display := name
	if !a.pass.funcs.InText(name) {
		display = fmt.Sprintf("with a name of %d bytes that is not in the template's text", len(name))
	}
	quiet := slices.ContainsFunc(argv, func(arg string) bool { return !a.pass.funcs.InText(arg) })
	return watch.NewPlugin(display, argv, quiet)
}
