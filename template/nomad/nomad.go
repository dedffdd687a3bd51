// Package nomad reads the arguments of the functions for Nomad: which query they ask.
package nomad

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"render/watch"
)

// A Quote shows a text in an error, as far as it may be shown.
type Quote func(string) string

// The grammars of arguments. A part that is left out is an empty group.
var (
	servicesGrammar = regexp.MustCompile(`^(?:@([\w.\-]+))?$`)
	serviceGrammar  = regexp.MustCompile(`^(?:([\w=:.\-]+)\.)?([\w\-]+)(?:@([\w.\-]+))?$`)
	variableGrammar = regexp.MustCompile(`^([^@]+)(?:@([\w\-]+)(?:\.([\w\-]+))?)?$`)
	prefixGrammar   = regexp.MustCompile(`^([^@]*)(?:@([\w\-]+|\*)(?:\.([\w\-]+))?)?$`)
)

// parts returns the parts of an argument, from the first on.
func parts(grammar *regexp.Regexp, arg string, quote Quote) ([]string, error) {
	match := grammar.FindStringSubmatch(arg)
	if match == nil {
		return nil, fmt.Errorf("invalid format: %s", quote(arg))
	}
	return match[1:], nil
}

// query returns the query of a kind with those options that are not empty: names and values in turn.
func query(kind, name string, options ...string) watch.Query {
	opts := url.Values{}
	for i := 0; i < len(options); i += 2 {
		if options[i+1] != "" {
			opts.Set(options[i], options[i+1])
		}
	}
	return watch.NewQuery(kind, name, opts)
}

// Services reads the arguments of nomadServices: texts that are joined to [@REGION].
func Services(args []string, quote Quote) (watch.Query, error) {
	p, err := parts(servicesGrammar, strings.Join(args, ""), quote)
	if err != nil {
		return watch.Query{}, err
	}
	return query(watch.KindNomadServices, "", watch.OptRegion, p[0]), nil
}

// Service reads the arguments of nomadService: [TAG.]NAME[@REGION], or with COUNT and KEY before it.
func Service(args []any, quote Quote) (watch.Query, error) {
	choose := ""
	switch len(args) {
	case 1:
	case 3:
		count, isNumber := args[0].(int)
		key, isText := args[1].(string)
		switch {
		case !isNumber:
			return watch.Query{}, errors.New("expected integer for <count> argument")
		case !isText:
			return watch.Query{}, errors.New("expected string for <key> argument")
		case count < 0: // Nomad breaks off without an answer
			return watch.Query{}, errors.New("the <count> argument is negative")
		}
		choose = fmt.Sprintf("%d|%s", count, key)
	default:
		return watch.Query{}, errors.New("expected arguments <service> or <count> <key> <service>")
	}
	name, isText := args[len(args)-1].(string)
	if !isText {
		return watch.Query{}, errors.New("expected string for <service> argument")
	}
	p, err := parts(serviceGrammar, name, quote)
	if err != nil {
		return watch.Query{}, err
	}
	return query(watch.KindNomadService, p[1], watch.OptTag, p[0], watch.OptRegion, p[2], watch.OptChoose, choose), nil
}

// Variable reads the argument of nomadVar and nomadVarExists: PATH[@NAMESPACE[.REGION]]. An empty argument asks nothing, the empty query.
func Variable(arg string, quote Quote) (watch.Query, error) {
	if arg == "" {
		return watch.Query{}, nil
	}
	p, err := parts(variableGrammar, strings.Trim(arg, " /"), quote)
	if err != nil {
		return watch.Query{}, err
	}
	return query(watch.KindNomadVar, p[0], watch.OptNamespace, p[1], watch.OptRegion, p[2]), nil
}

// Variables reads the arguments of nomadVarList and nomadVarListSafe: none, or [PREFIX][@NAMESPACE[.REGION]]. The namespace * stands for
// all.
func Variables(args []string, quote Quote) (watch.Query, error) {
	if len(args) > 1 {
		return watch.Query{}, errors.New(`takes either a single "prefix" parameter or none`)
	}
	p, err := parts(prefixGrammar, strings.Join(args, ""), quote)
	if err != nil {
		return watch.Query{}, err
	}
	prefix := strings.TrimPrefix(p[0], "/")
	if strings.Trim(prefix, "/") == "" {
		prefix = ""
	}
	return query(watch.KindNomadVars, prefix, watch.OptNamespace, p[1], watch.OptRegion, p[2]), nil
}
