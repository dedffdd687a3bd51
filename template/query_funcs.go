package template

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"render/watch"
)

// queryFuncs are the functions that ask for data, and below them those that make named arguments. Each entry makes the function for one call in a text: to add one, add
// a line here, and a kind to package watch where it needs one.
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

	"name":          named("name", optName),
	"dc":            named("dc", watch.OptDatacenter),
	"near":          named("near", watch.OptNear),
	"ns":            named("ns", watch.OptNamespace),
	"partition":     named("partition", watch.OptPartition),
	"peer":          named("peer", watch.OptPeer),
	"samenessGroup": named("samenessGroup", watch.OptSamenessGroup),
	"filter":        named("filter", watch.OptFilter),
	"tag":           named("tag", watch.OptTag),
	"meta":          func(a asker) any { return a.meta },
	"status":        func(a asker) any { return a.status },
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
	if err != nil || q == (watch.Query{}) {
		return []T{}, inFunc(function, err)
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
		return nil, &funcError{"node", err}
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
		return nil, &funcError{"datacenters", fmt.Errorf("takes one argument at most, not %d", len(reachable))}
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
		return nil, &funcError{"exportedServices", fmt.Errorf("takes one partition at most, not %d", len(partition))}
	}
	all, _ := answer[[]watch.ExportedService](a, inPartition(watch.KindExportedServices, strings.Join(partition, "")))
	return all, nil
}

func (a asker) importedServices(partition ...string) ([]watch.ImportedService, error) {
	if len(partition) != 1 || partition[0] == "" {
		return nil, &funcError{"importedServices", errors.New("takes the name of one partition")}
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
		return "", inFunc("key", err)
	}
	return needed[string](a, q), nil
}

// keyOrDefault takes what key takes, and a text after it.
func (a asker) keyOrDefault(args ...any) (string, error) {
	last := len(args) - 1
	if last < 1 {
		return "", &funcError{"keyOrDefault", errors.New("takes a key and a text")}
	}
	byDefault, ok := args[last].(string)
	if !ok {
		return "", &funcError{"keyOrDefault", errors.New("the last argument is the text that is given where there is no value")}
	}
	q, err := a.query(watch.KindKV, keyForm, args[:last])
	if err != nil || q == (watch.Query{}) {
		return byDefault, inFunc("keyOrDefault", err)
	}
	if value, _ := answer[string](a, q); value != "" {
		return value, nil
	}
	return byDefault, nil
}

func (a asker) keyExists(args ...any) (bool, error) {
	q, err := a.query(watch.KindKV, keyForm, args)
	if err != nil || q == (watch.Query{}) {
		return false, inFunc("keyExists", err)
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
		return kept, inFunc(function, err)
	}
	v, answered := a.pass.ask(a.site, q)
	all, _ := v.([]*watch.KeyPair)
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

func (a asker) file(path string) string {
	path = strings.TrimSpace(path)
	if path == "" {
		return ""
	}
	return needed[string](a, watch.NewQuery(watch.KindFile, path, nil))
}

func inFunc(name string, err error) error {
	if err == nil {
		return nil
	}
	return &funcError{name, err}
}

// A form is what a query function makes of its arguments. Without named arguments its texts are joined to one argument, which
// is read by a grammar. With named arguments its text is a name, whatever is in it.
type form struct {
	read  func(a asker, kind, arg string) (watch.Query, error)
	joint string   // between several texts
	one   bool     // takes one text, neither more nor less
	name  bool     // asks nothing where the first text is empty
	named []string // the named arguments that it takes
}

var (
	instancesForm = form{read: asker.serviceQuery, joint: "|", name: true, named: []string{
		"name", "dc", "tag", "status", "meta", "filter", "near", "ns", "partition", "peer", "samenessGroup",
	}}
	servicesForm = form{
		read:  catalogQuery(servicesGrammar, watch.OptNamespace, watch.OptPartition),
		named: []string{"dc", "filter", "ns", "partition"},
	}
	nodesForm = form{
		read:  catalogQuery(nodesGrammar, watch.OptNamespace, watch.OptPartition),
		named: []string{"dc", "filter", "near", "ns", "partition"},
	}
	nodeForm = form{
		read:  catalogQuery(nodeGrammar, watch.OptNamespace, watch.OptPartition),
		named: []string{"name", "dc", "filter", "ns", "partition"},
	}
	peeringsForm = form{read: catalogQuery(peeringsGrammar, watch.OptPartition), named: []string{"partition"}}
	keyForm      = form{read: asker.keyQuery, one: true, name: true, named: []string{"name", "dc", "ns", "partition"}}
)

// query returns the query that arguments ask, or no query at all where they ask nothing.
func (a asker) query(kind string, f form, args []any) (watch.Query, error) {
	var texts []string
	var opts url.Values // nil without named arguments
	for _, arg := range args {
		switch arg := arg.(type) {
		case string:
			texts = append(texts, arg)
		case option:
			if opts == nil {
				opts = make(url.Values)
			}
			if err := f.set(opts, arg); err != nil {
				return watch.Query{}, err
			}
		case nil:
			return watch.Query{}, errors.New("an argument has no value")
		default:
			return watch.Query{}, fmt.Errorf("takes texts and named arguments, not a value of the type %T", arg)
		}
	}
	if opts != nil {
		return f.literal(kind, append(texts, opts[optName]...), opts)
	}
	if f.one && len(texts) != 1 {
		return watch.Query{}, fmt.Errorf("takes one text, not %d", len(texts))
	}
	if f.name && (len(texts) == 0 || texts[0] == "") {
		return watch.Query{}, nil
	}
	return a.pass.query(kind, strings.Join(texts, f.joint), func(kind, arg string) (watch.Query, error) { return f.read(a, kind, arg) })
}

// literal returns the query for a name that is not read by a grammar.
func (f form) literal(kind string, names []string, opts url.Values) (watch.Query, error) {
	opts.Del(optName)
	switch {
	case !slices.Contains(f.named, "name") && len(names) > 0:
		return watch.Query{}, errors.New("takes no text beside named arguments")
	case len(names) > 1:
		return watch.Query{}, fmt.Errorf("takes one name beside named arguments, not %d", len(names))
	case f.name && len(names) == 0:
		return watch.Query{}, errors.New("takes a name beside named arguments")
	case f.name && names[0] == "":
		return watch.Query{}, nil
	}
	return newQuery(kind, strings.Join(names, ""), opts)
}

// An option is a named argument of a query function, such as (dc "dc2").
type option struct {
	function string // that made it
	opt      string // of the query
	values   []string
}

// optName is the option that holds the name of a query on its way there.
const optName = "name"

// named returns a function that makes an option of one value.
func named(function, opt string) func(asker) any {
	return func(asker) any {
		return func(value string) option { return option{function, opt, []string{value}} }
	}
}

var metaKey = regexp.MustCompile(`^[\w\-]+$`) // of an instance, as Consul has it

func (a asker) meta(key, value string) (option, error) {
	if !metaKey.MatchString(key) {
		return option{}, &funcError{"meta", fmt.Errorf("invalid key: %s; it has letters, digits, - and _ only", a.pass.quote(key))}
	}
	return option{"meta", watch.OptMeta, []string{key + "=" + value}}, nil
}

func (a asker) status(statuses ...string) (option, error) {
	if len(statuses) == 0 {
		return option{}, &funcError{"status", fmt.Errorf("takes some of %s", strings.Join(filterNames, ", "))}
	}
	for _, s := range statuses {
		if !slices.Contains(filterNames, s) {
			return option{}, &funcError{"status", fmt.Errorf("invalid status: %s%s", a.pass.quote(s), suggestion(s, filterNames))}
		}
	}
	return option{"status", watch.OptStatus, statuses}, nil
}

// set adds an option to those of a query.
func (f form) set(opts url.Values, o option) error {
	switch {
	case !slices.Contains(f.named, o.function):
		return fmt.Errorf("takes no %s; its named arguments are %s", o.function, strings.Join(f.named, ", "))
	case opts.Has(o.opt) && o.opt != watch.OptTag && o.opt != watch.OptMeta:
		return fmt.Errorf("%s is given twice", o.function)
	}
	opts[o.opt] = append(opts[o.opt], o.values...)
	return nil
}

// The grammars of COMPATIBILITY §1.1. A part that is left out is an empty group.
var (
	serviceGrammar = regexp.MustCompile(`^(?:(?P<tag>[\w=:.\-]+)\.)?(?P<name>[\w\-]+)(?:\?(?P<query>[\w=&\-]+))?` +
		`(?:@(?P<dc>[\w.\-]+))?(?:~(?P<near>[\w.\-]+))?(?:\|(?P<filters>[\w,]+))?$`)
	servicesGrammar = regexp.MustCompile(`^(?:\?(?P<query>[\w=&\-]+))?(?:@(?P<dc>[\w.\-]+))?$`)
	nodeGrammar     = regexp.MustCompile(`^(?:(?P<name>[\w.\-]+)(?:\?(?P<query>[\w=&\-]+))?(?:@(?P<dc>[\w.\-]+))?)?$`)
	nodesGrammar    = regexp.MustCompile(`^(?:\?(?P<query>[\w=&\-]+))?(?:@(?P<dc>[\w.\-]+))?(?:~(?P<near>[\w.\-]+))?$`)
	peeringsGrammar = regexp.MustCompile(`^(?:\?(?P<query>[\w=&\-]+))?$`)
	keyGrammar      = regexp.MustCompile(`^/?(?P<name>[^@?]+)(?:\?(?P<query>[\w=&\-]+))?(?:@(?P<dc>[\w.\-]+))?$`)
)

// parts matches an argument with a grammar and returns its parts by name.
func (a asker) parts(grammar *regexp.Regexp, arg string) (map[string]string, error) {
	match := grammar.FindStringSubmatch(arg)
	if match == nil {
		return nil, fmt.Errorf("invalid format: %s", a.pass.quote(arg))
	}
	p := make(map[string]string, len(match))
	for i, name := range grammar.SubexpNames() {
		if name != "" {
			p[name] = match[i]
		}
	}
	return p, nil
}

var queryKeys = []string{watch.OptNamespace, watch.OptPeer, watch.OptPartition, watch.OptSamenessGroup}

// options turns the parts ?QUERY, @DC and ~NEAR into options. Of the keys in QUERY those in honoured count; the others
// that exist are passed over, as they always were.
func (a asker) options(p map[string]string, honoured ...string) (url.Values, error) {
	opts := url.Values{}
	given, err := url.ParseQuery(p["query"])
	if err != nil {
		return nil, fmt.Errorf("invalid query %s", a.pass.quote(p["query"]))
	}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(queryKeys, key) {
			return nil, fmt.Errorf("invalid query parameter key %s in query %s: supported keys: %s",
				a.pass.quote(key), a.pass.quote(p["query"]), strings.Join(queryKeys, ","))
		}
		if value := given.Get(key); value != "" && slices.Contains(honoured, key) {
			opts.Set(key, value)
		}
	}
	for part, opt := range map[string]string{"dc": watch.OptDatacenter, "near": watch.OptNear, "tag": watch.OptTag} {
		if p[part] != "" {
			opts.Set(opt, p[part])
		}
	}
	return opts, nil
}

var filterNames = []string{watch.StatusAny, watch.StatusPassing, watch.StatusWarning, watch.StatusCritical, watch.StatusMaintenance}

func (a asker) serviceQuery(kind, arg string) (watch.Query, error) {
	p, err := a.parts(serviceGrammar, arg)
	if err != nil {
		return watch.Query{}, err
	}
	opts, err := a.options(p, queryKeys...)
	if err != nil {
		return watch.Query{}, err
	}
	if kind == watch.KindConnect {
		opts.Del(watch.OptTag) // Consul always took no notice of it; the named argument counts
	}
	if p["filters"] != "" {
		if opts[watch.OptStatus], err = a.filters(arg, p["filters"]); err != nil {
			return watch.Query{}, err
		}
	}
	return newQuery(kind, p["name"], opts)
}

// newQuery returns a query in its one canonical form, whatever the order of its options.
func newQuery(kind, name string, opts url.Values) (watch.Query, error) {
	if opts.Has(watch.OptPeer) && opts.Has(watch.OptSamenessGroup) {
		return watch.Query{}, errors.New("cannot specify both peer and sameness-group")
	}
	for opt, values := range opts {
		slices.Sort(values)
		if opts[opt] = slices.DeleteFunc(slices.Compact(values), func(v string) bool { return v == "" }); len(opts[opt]) == 0 {
			opts.Del(opt) // as if it had been left out
		}
	}
	if slices.Equal(opts[watch.OptStatus], []string{watch.StatusPassing}) {
		opts.Del(watch.OptStatus)
	}
	return watch.NewQuery(kind, name, opts), nil
}

func (a asker) filters(arg, list string) ([]string, error) {
	var statuses []string
	for _, f := range strings.Split(list, ",") {
		switch {
		case f == "":
		case !slices.Contains(filterNames, f):
			return nil, fmt.Errorf("invalid filter: %s in %s%s", a.pass.quote(f), a.pass.quote(arg), suggestion(f, filterNames))
		default:
			statuses = append(statuses, f)
		}
	}
	if len(statuses) == 0 {
		return nil, fmt.Errorf("no filter in %s; there are %s", a.pass.quote(arg), strings.Join(filterNames, ", "))
	}
	return statuses, nil
}

// catalogQuery returns a function that reads an argument with a grammar. Of the keys in QUERY those in honoured count.
func catalogQuery(grammar *regexp.Regexp, honoured ...string) func(a asker, kind, arg string) (watch.Query, error) {
	return func(a asker, kind, arg string) (watch.Query, error) {
		p, err := a.parts(grammar, arg)
		if err != nil {
			return watch.Query{}, err
		}
		opts, err := a.options(p, honoured...)
		if err != nil {
			return watch.Query{}, err
		}
		return watch.NewQuery(kind, p["name"], opts), nil
	}
}

func (a asker) keyQuery(kind, arg string) (watch.Query, error) {
	if kind == watch.KindPrefix && strings.Trim(arg, "/") == "" {
		return watch.NewQuery(kind, "", nil), nil
	}
	p, err := a.parts(keyGrammar, arg)
	if err != nil {
		return watch.Query{}, err
	}
	opts, err := a.options(p, watch.OptNamespace, watch.OptPartition)
	if err != nil {
		return watch.Query{}, err
	}
	name := strings.TrimLeft(p["name"], "/")
	if name == "" && kind == watch.KindKV {
		return watch.Query{}, fmt.Errorf("invalid format: %s", a.pass.quote(arg))
	}
	return watch.NewQuery(kind, name, opts), nil
}
