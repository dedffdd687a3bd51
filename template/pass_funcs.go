package template

import (
	"fmt"
	"strings"

	sockaddr "github.com/hashicorp/go-sockaddr/template"

	"render/template/funcs"
)

// passFuncs are the functions that need the pass that they are called in. To add one, add a line here.
var passFuncs = map[string]func(*pass) any{
	"executeTemplate": func(p *pass) any { return p.executeTemplate },
	"scratch":         func(p *pass) any { return func() *funcs.Scratch { return p.scratch } },
	"sockaddr":        func(p *pass) any { return p.sockaddr },
	"writeToFile":     func(p *pass) any { return p.writeToFile },
	"hostport":        func(p *pass) any { return p.hostport },
	"env": func(p *pass) any {
		return func(name string) string { value, _ := p.env(name); return value }
	},
	"envOrDefault": func(p *pass) any {
		return func(name, byDefault string) string {
			if value, ok := p.env(name); ok {
				return value
			}
			return byDefault
		}
	},
	"mustEnv": func(p *pass) any {
		return func(name string) (string, error) {
			value, _ := p.env(name)
			if value == "" {
				return "", funcs.Wrap("mustEnv", fmt.Errorf("required environment variable %s is empty", p.funcs.Quote(name)))
			}
			return value, nil
		}
	},
}

const callDepth = 20 // what executeTemplate adds to the depth, for it takes that much more of the stack than a block

// executeTemplate runs a defined template and returns its output.
func (p *pass) executeTemplate(name string, data ...any) (string, error) {
	if len(data) > 1 {
		return "", funcs.Wrap("executeTemplate", fmt.Errorf("accepts a name and at most one value, not %d values", len(data)))
	}
	root := p.template.root
	if name == "" || root.Lookup(name) == nil {
		return "", funcs.Wrap("executeTemplate", fmt.Errorf("there is no template %s", p.funcs.Quote(name)))
	}
	nest := p.nest() + callDepth
	if p.depth += nest; p.depth > maxDepth {
		return "", p.stop(errDepth)
	}
	p.deepest = max(p.deepest, p.depth)
	var dot any
	if len(data) == 1 {
		dot = data[0]
	}
	out, outside := &page{pass: p}, p.out
	p.out, p.beside = out, p.beside+len(outside.text)
	err := root.ExecuteTemplate(out, name, dot)
	p.out, p.beside = outside, p.beside-len(outside.text)
	p.depth -= nest
	if err != nil {
		return "", p.template.execError(err)
	}
	if err := p.funcs.Make(len(out.text)); err != nil {
		return "", funcs.Wrap("executeTemplate", err)
	}
	return string(out.text), nil
}

// sockaddr evaluates an expression of go-sockaddr about the addresses of this machine.
func (p *pass) sockaddr(words ...string) (string, error) {
	expression := strings.Join(words, " ")
	address, err := sockaddr.Parse("{{" + expression + "}}")
	if err != nil {
		return "", funcs.Wrap("sockaddr", fmt.Errorf("cannot evaluate %s", p.funcs.Quote(expression)))
	}
	return address, nil
}
