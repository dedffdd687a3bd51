package template

import (
	"render/template/funcs"
	"render/template/nomad"

	"render/watch"
)

// nomadServices returns the names of all services of Nomad with their tags.
func (a asker) nomadServices(args ...string) ([]*watch.NomadSnippet, error) {
	q, err := nomad.Services(args, a.pass.funcs.Quote)
	if err != nil {
		return []*watch.NomadSnippet{}, funcs.Wrap("nomadServices", err)
	}
	all, _ := answer[[]*watch.NomadSnippet](a, q)
	return all, nil
}

// nomadService returns the instances of a service of Nomad: all, or as many as are to be chosen for a key.
func (a asker) nomadService(args ...any) ([]*watch.NomadService, error) {
	q, err := nomad.Service(args, a.pass.funcs.Quote)
	if err != nil {
		return []*watch.NomadService{}, funcs.Wrap("nomadService", err)
	}
	all, _ := answer[[]*watch.NomadService](a, q)
	return all, nil
}

// nomadVar returns the values of a variable, without which the template cannot finish.
func (a asker) nomadVar(path string) (watch.NomadItems, error) {
	q, err := nomad.Variable(path, a.pass.funcs.Quote)
	if err != nil || q == (watch.Query{}) {
		return nil, funcs.Wrap("nomadVar", err)
	}
	if variable := needed[*watch.NomadVar](a, q); variable != nil {
		return variable.Items, nil
	}
	return nil, nil
}

// nomadVarExists reports whether Nomad has a variable.
func (a asker) nomadVarExists(path string) (bool, error) {
	q, err := nomad.Variable(path, a.pass.funcs.Quote)
	if err != nil || q == (watch.Query{}) {
		return false, funcs.Wrap("nomadVarExists", err)
	}
	variable, _ := answer[*watch.NomadVar](a, q)
	return variable != nil, nil
}

// nomadVarList returns what is known of the variables whose paths begin with a prefix, without their values.
func (a asker) nomadVarList(args ...string) ([]*watch.NomadVarMeta, error) {
	return a.nomadVars("nomadVarList", args, false)
}

// nomadVarListSafe is nomadVarList for a template that cannot do without at least one variable.
func (a asker) nomadVarListSafe(args ...string) ([]*watch.NomadVarMeta, error) {
	return a.nomadVars("nomadVarListSafe", args, true)
}

func (a asker) nomadVars(function string, args []string, needed bool) ([]*watch.NomadVarMeta, error) {
	q, err := nomad.Variables(args, a.pass.funcs.Quote)
	if err != nil {
		return []*watch.NomadVarMeta{}, funcs.Wrap(function, err)
	}
	v, answered := a.pass.ask(a.site, q)
	all, _ := v.([]*watch.NomadVarMeta)
	if needed && answered && len(all) == 0 {
		a.pass.need(a.site, q)
	}
	return all, nil
}
