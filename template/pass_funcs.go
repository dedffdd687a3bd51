package template

import "fmt"

// passFuncs are the functions that need the pass that they are called in. To add one, add a line here.
var passFuncs = map[string]func(*pass) any{
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
