package template

import (
	"bytes"
	"fmt"
)

// passFuncs are the functions that need the pass that they are called in. To add one, add a line here.
var passFuncs = map[string]func(*pass) any{
	"executeTemplate": func(p *pass) any { return p.executeTemplate },
	"fail":            func(p *pass) any { return p.fail("fail") },
	"groupBy":         func(p *pass) any { return p.groupBy },
	"scratch":         func(p *pass) any { return func() *scratch { return &p.scratch } },
	"sockaddr":        func(p *pass) any { return p.sockaddr },
	"sortBy":          func(p *pass) any { return p.sortBy },
	"sprig_fail":      func(p *pass) any { return p.fail("sprig_fail") },
	"uniq":            func(p *pass) any { return p.uniq },
	"where":           func(p *pass) any { return p.where },
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
				return "", &funcError{"mustEnv", fmt.Errorf("required environment variable %s is empty", p.quote(name))}
			}
			return value, nil
		}
	},
}

const maxDepth = 1000 // of executeTemplate within executeTemplate

// executeTemplate runs a defined template and returns its output.
func (p *pass) executeTemplate(name string, data ...any) (string, error) {
	if len(data) > 1 {
		return "", &funcError{"executeTemplate", fmt.Errorf("takes a name and at most one value, not %d", len(data))}
	}
	root := p.template.root
	if name == "" || root.Lookup(name) == nil {
		return "", &funcError{"executeTemplate", fmt.Errorf("there is no template %s", p.quote(name))}
	}
	if p.depth >= maxDepth {
		return "", &funcError{"executeTemplate", fmt.Errorf("templates call each other more than %d deep", maxDepth)}
	}
	p.depth++
	defer func() { p.depth-- }()
	var dot any
	if len(data) == 1 {
		dot = data[0]
	}
	var out bytes.Buffer
	if err := root.ExecuteTemplate(&out, name, dot); err != nil {
		return "", p.template.execError(err)
	}
	return out.String(), nil
}
