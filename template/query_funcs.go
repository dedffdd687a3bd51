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

// queryFuncs are the functions that ask for data. Each entry makes the function for one call in a text: to add one, add
// a line here, and a kind to package watch where it needs one.
var queryFuncs = map[string]func(asker) any{
	"service":      func(a asker) any { return a.service },
	"services":     func(a asker) any { return a.services },
	"node":         func(a asker) any { return a.node },
	"nodes":        func(a asker) any { return a.nodes },
	"datacenters":  func(a asker) any { return a.datacenters },
	"key":          func(a asker) any { return a.key },
	"keyOrDefault": func(a asker) any { return a.keyOrDefault },
	"keyExists":    func(a asker) any { return a.keyExists },
	"ls":           func(a asker) any { return a.ls },
	"tree":         func(a asker) any { return a.tree },
	"file":         func(a asker) any { return a.file },
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

func (a asker) service(args ...string) ([]*watch.HealthService, error) {
	if len(args) == 0 || args[0] == "" {
		return []*watch.HealthService{}, nil
	}
	q, err := a.pass.query(watch.KindService, strings.Join(args, "|"), a.serviceQuery)
	if err != nil {
		return nil, &funcError{"service", err}
	}
	list, _ := answer[[]*watch.HealthService](a, q)
	return list, nil
}

func (a asker) services(args ...string) ([]*watch.CatalogSnippet, error) {
	q, err := a.catalogQuery(watch.KindServices, servicesGrammar, strings.Join(args, ""))
	if err != nil {
		return nil, &funcError{"services", err}
	}
	list, _ := answer[[]*watch.CatalogSnippet](a, q)
	return list, nil
}

// node returns nil while there is no answer, and a CatalogNode without a Node where there is no such node.
func (a asker) node(args ...string) (*watch.CatalogNode, error) {
	q, err := a.catalogQuery(watch.KindNode, nodeGrammar, strings.Join(args, ""))
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

func (a asker) nodes(args ...string) ([]*watch.Node, error) {
	q, err := a.catalogQuery(watch.KindNodes, nodesGrammar, strings.Join(args, ""))
	if err != nil {
		return nil, &funcError{"nodes", err}
	}
	list, _ := answer[[]*watch.Node](a, q)
	return list, nil
}

func (a asker) datacenters(reachable ...bool) ([]string, error) {
	opts := url.Values{}
	switch {
	case len(reachable) > 1:
		return nil, &funcError{"datacenters", fmt.Errorf("takes one argument at most, not %d", len(reachable))}
	case len(reachable) == 1 && reachable[0]:
		opts.Set(watch.OptReachable, "true")
	}
	list, _ := answer[[]string](a, watch.NewQuery(watch.KindDatacenters, "", opts))
	return list, nil
}

func (a asker) key(path string) (string, error) {
	q, err := a.pass.query(watch.KindKV, path, a.keyQuery)
	if err != nil || q == (watch.Query{}) {
		return "", inFunc("key", err)
	}
	return needed[string](a, q), nil
}

func (a asker) keyOrDefault(path, byDefault string) (string, error) {
	q, err := a.pass.query(watch.KindKV, path, a.keyQuery)
	if err != nil || q == (watch.Query{}) {
		return byDefault, inFunc("keyOrDefault", err)
	}
	if value, _ := answer[string](a, q); value != "" {
		return value, nil
	}
	return byDefault, nil
}

func (a asker) keyExists(path string) (bool, error) {
	q, err := a.pass.query(watch.KindKV, path, a.keyQuery)
	if err != nil || q == (watch.Query{}) {
		return false, inFunc("keyExists", err)
	}
	_, found := answer[string](a, q)
	return found, nil
}

// ls returns the keys directly below a prefix.
func (a asker) ls(prefix string) ([]*watch.KeyPair, error) {
	return a.below("ls", prefix, func(k *watch.KeyPair) bool {
		return k.Key != "" && !strings.Contains(k.Key, "/")
	})
}

// tree returns all keys below a prefix but those of folders.
func (a asker) tree(prefix string) ([]*watch.KeyPair, error) {
	return a.below("tree", prefix, func(k *watch.KeyPair) bool {
		return k.Key != "" && !strings.HasSuffix(k.Key, "/")
	})
}

func (a asker) below(function, prefix string, keep func(*watch.KeyPair) bool) ([]*watch.KeyPair, error) {
	list := []*watch.KeyPair{}
	q, err := a.pass.query(watch.KindPrefix, prefix, a.keyQuery)
	if err != nil || q == (watch.Query{}) {
		return list, inFunc(function, err)
	}
	all, _ := answer[[]*watch.KeyPair](a, q)
	for _, k := range all {
		if keep(k) {
			list = append(list, k)
		}
	}
	return list, nil
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

// The grammars of COMPATIBILITY §1.1. A part that is left out is an empty group.
var (
	serviceGrammar = regexp.MustCompile(`^(?:(?P<tag>[\w=:.\-]+)\.)?(?P<name>[\w\-]+)(?:\?(?P<query>[\w=&\-]+))?` +
		`(?:@(?P<dc>[\w.\-]+))?(?:~(?P<near>[\w.\-]+))?(?:\|(?P<filters>[\w,]+))?$`)
	servicesGrammar = regexp.MustCompile(`^(?:\?(?P<query>[\w=&\-]+))?(?:@(?P<dc>[\w.\-]+))?$`)
	nodeGrammar     = regexp.MustCompile(`^(?:(?P<name>[\w.\-]+)(?:\?(?P<query>[\w=&\-]+))?(?:@(?P<dc>[\w.\-]+))?)?$`)
	nodesGrammar    = regexp.MustCompile(`^(?:\?(?P<query>[\w=&\-]+))?(?:@(?P<dc>[\w.\-]+))?(?:~(?P<near>[\w.\-]+))?$`)
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
	if opts.Has(watch.OptPeer) && opts.Has(watch.OptSamenessGroup) {
		return watch.Query{}, errors.New("cannot specify both peer and sameness-group")
	}
	if p["filters"] != "" {
		statuses, err := a.filters(arg, p["filters"])
		if err != nil {
			return watch.Query{}, err
		}
		if !slices.Equal(statuses, []string{watch.StatusPassing}) {
			opts[watch.OptStatus] = statuses
		}
	}
	return watch.NewQuery(kind, p["name"], opts), nil
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
	slices.Sort(statuses)
	return slices.Compact(statuses), nil
}

func (a asker) catalogQuery(kind string, grammar *regexp.Regexp, arg string) (watch.Query, error) {
	p, err := a.parts(grammar, arg)
	if err != nil {
		return watch.Query{}, err
	}
	opts, err := a.options(p, watch.OptNamespace, watch.OptPartition)
	if err != nil {
		return watch.Query{}, err
	}
	return watch.NewQuery(kind, p["name"], opts), nil
}

// keyQuery returns the query for a key or a prefix, or no query at all for an empty argument.
func (a asker) keyQuery(kind, arg string) (watch.Query, error) {
	if arg == "" {
		return watch.Query{}, nil
	}
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
