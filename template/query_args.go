package template

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"render/template/funcs"

	"render/watch"

	"render/watch/hint"
)

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
		"name", "dc", "tag", "status", "meta", "filter", "near", "ns", "partition", "peer", "samenessGroup", "acceptFiltered",
	}}
	servicesForm = form{
		read:  catalogQuery(servicesGrammar, watch.OptNamespace, watch.OptPartition),
		named: []string{"dc", "filter", "ns", "partition", "acceptFiltered"},
	}
	nodesForm = form{
		read:  catalogQuery(nodesGrammar, watch.OptNamespace, watch.OptPartition),
		named: []string{"dc", "filter", "near", "ns", "partition", "acceptFiltered"},
	}
	nodeForm = form{
		read:  catalogQuery(nodeGrammar, watch.OptNamespace, watch.OptPartition),
		named: []string{"name", "dc", "filter", "ns", "partition", "acceptFiltered"},
	}
	peeringsForm = form{read: catalogQuery(peeringsGrammar, watch.OptPartition), named: []string{"partition", "acceptFiltered"}}
	keyForm      = form{read: asker.keyQuery, one: true, name: true, named: []string{"name", "dc", "ns", "partition", "acceptFiltered"}}
)

// query returns the query that arguments ask, or no query at all where they ask nothing.
func (a asker) query(kind string, f form, args []any) (watch.Query, error) {
	if q, ok := a.pass.named.query(kind, args); ok {
		return q, nil
	}
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
			return watch.Query{}, fmt.Errorf("accepts texts and named arguments, not a value of the type %T", arg)
		}
	}
	if opts != nil {
		q, err := f.literal(kind, append(texts, opts[optName]...), opts)
		if err == nil {
			a.pass.named.keep(args, q)
		}
		return q, err
	}
	if f.one && len(texts) != 1 {
		return watch.Query{}, fmt.Errorf("needs one text, not %d", len(texts))
	}
	if f.name && (len(texts) == 0 || texts[0] == "") {
		return watch.Query{}, nil
	}
	arg := strings.Join(texts, f.joint)
	if f.name && isPlain(arg) { // most arguments are, and a grammar costs more than all else that is done with a name
		return watch.NewQuery(kind, arg, nil), nil
	}
	return a.pass.query(kind, arg, func(kind, arg string) (watch.Query, error) { return f.read(a, kind, arg) })
}

// A namedQuery is the last query with named arguments. In most templates the next has the same, and another name: to make their
// canonical form takes longer than all else that is done with a name.
type namedQuery struct {
	args []any // a name, then named arguments
	q    watch.Query
}

// query returns the query for arguments that differ from the last in nothing but the name.
func (n *namedQuery) query(kind string, args []any) (q watch.Query, same bool) {
	if len(args) < 2 || len(args) != len(n.args) || kind != n.q.Kind {
		return q, false
	}
	name, ok := args[0].(string)
	if !ok || name == "" {
		return q, false
	}
	for i, arg := range args[1:] {
		o, ok := arg.(option)
		if last := n.args[i+1].(option); !ok || o.function != last.function || o.opt != last.opt || !slices.Equal(o.values, last.values) {
			return q, false
		}
	}
	q = n.q
	q.Name = name
	return q, true
}

// keep notes the arguments of a query, where they are a name and named arguments.
func (n *namedQuery) keep(args []any, q watch.Query) {
	if len(args) < 2 || q == (watch.Query{}) {
		return
	}
	if _, ok := args[0].(string); !ok || slices.ContainsFunc(args[1:], func(arg any) bool { _, ok := arg.(option); return !ok }) {
		return
	}
	n.args, n.q = slices.Clone(args), q
}

// isPlain reports whether an argument is a name in each grammar that takes one, and nothing else.
func isPlain(arg string) bool {
	for _, c := range []byte(arg) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return arg != ""
}

// literal returns the query for a name that is not read by a grammar.
func (f form) literal(kind string, names []string, opts url.Values) (watch.Query, error) {
	opts.Del(optName)
	switch {
	case !slices.Contains(f.named, "name") && len(names) > 0:
		return watch.Query{}, errors.New("accepts no text beside named arguments")
	case len(names) > 1:
		return watch.Query{}, fmt.Errorf("accepts one name beside named arguments, not %d", len(names))
	case f.name && len(names) == 0:
		return watch.Query{}, errors.New("needs a name beside named arguments")
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

// acceptFiltered is the named argument of a query whose answer may lack what the token may not read.
func acceptFiltered() option {
	return option{"acceptFiltered", watch.OptAcceptFiltered, []string{"true"}}
}

var metaKey = regexp.MustCompile(`^[\w\-]+$`) // of an instance, as Consul has it

func (a asker) meta(key, value string) (option, error) {
	if !metaKey.MatchString(key) {
		return option{}, funcs.Wrap("meta", hint.With(fmt.Errorf("invalid key: %s", a.pass.funcs.Quote(key)), "a key of metadata has only letters, digits, - and _"))
	}
	return option{"meta", watch.OptMeta, []string{key + "=" + value}}, nil
}

func (a asker) status(statuses ...string) (option, error) {
	if len(statuses) == 0 {
		return option{}, funcs.Wrap("status", fmt.Errorf("needs at least one of %s", strings.Join(filterNames, ", ")))
	}
	for _, s := range statuses {
		if !slices.Contains(filterNames, s) {
			return option{}, funcs.Wrap("status", hint.With(fmt.Errorf("invalid status: %s", a.pass.funcs.Quote(s)), Suggestion(s, filterNames)))
		}
	}
	return option{"status", watch.OptStatus, statuses}, nil
}

// set adds an option to those of a query.
func (f form) set(opts url.Values, o option) error {
	switch {
	case !slices.Contains(f.named, o.function):
		return hint.Withf(fmt.Errorf("does not accept the named argument %s", o.function), "the named arguments are %s", strings.Join(f.named, ", "))
	case opts.Has(o.opt) && o.opt != watch.OptTag && o.opt != watch.OptMeta:
		return fmt.Errorf("the named argument %s is used twice", o.function)
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
		return nil, fmt.Errorf("invalid format: %s", a.pass.funcs.Quote(arg))
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
		return nil, fmt.Errorf("invalid query %s", a.pass.funcs.Quote(p["query"]))
	}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(queryKeys, key) {
			return nil, hint.Withf(fmt.Errorf("invalid query parameter key %s in query %s", a.pass.funcs.Quote(key), a.pass.funcs.Quote(p["query"])),
				"the supported keys are %s", strings.Join(queryKeys, ", "))
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
			return nil, hint.With(fmt.Errorf("invalid filter: %s in %s", a.pass.funcs.Quote(f), a.pass.funcs.Quote(arg)), Suggestion(f, filterNames))
		default:
			statuses = append(statuses, f)
		}
	}
	if len(statuses) == 0 {
		return nil, hint.Withf(fmt.Errorf("no filter in %s", a.pass.funcs.Quote(arg)), "the filters are %s", strings.Join(filterNames, ", "))
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
		return watch.Query{}, fmt.Errorf("invalid format: %s", a.pass.funcs.Quote(arg))
	}
	return watch.NewQuery(kind, name, opts), nil
}
