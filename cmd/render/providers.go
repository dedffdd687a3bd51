package main

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"render/cmd/render/config"
	"render/cmd/render/config/nomadblock"
	"render/watch"
	"render/watch/consul"
	"render/watch/fixture"
	"render/watch/nomad"
	"render/watch/vault"
)

// A provider answers the queries of some kinds. Each has settings of its own: a reload that leaves these as they are leaves the source
// as it is, with its answers and leases (R10).
type provider struct {
	kinds  []string                                                     // that it answers; "" for all others
	same   func(a, b *config.Plan) bool                                 // whether both plans lead to the same source
	open   func(*config.Plan) (src watch.Source, end func(), err error) // the error has its place
	source *watch.Switch                                                // to src
	src    watch.Source
	end    func() // of src
}

// newProviders returns what answers queries, in the order in which it is opened.
func (p *program) newProviders() []*provider {
	return []*provider{
		{
			kinds: []string{""}, open: p.openConsul,
			same: func(a, b *config.Plan) bool {
				return a.Fixture == b.Fixture && (a.Fixture != "" || reflect.DeepEqual(a.Consul, b.Consul))
			},
		},
		{
			kinds: []string{watch.KindSecret, watch.KindSecrets, watch.KindSecretWrite, watch.KindPKICert}, open: p.openVault,
			same: func(a, b *config.Plan) bool {
				return a.Fixture == b.Fixture && (a.Fixture != "" || reflect.DeepEqual(a.Vault, b.Vault))
			},
		},
		{
			kinds: nomadblock.Kinds, open: p.openNomad,
			same: func(a, b *config.Plan) bool {
				return a.Fixture == b.Fixture && (a.Fixture != "" || reflect.DeepEqual(a.Nomad, b.Nomad))
			},
		},
	}
}

// openConsul opens what answers the queries that no other provider answers: Consul, or the fixture of a plan.
func (p *program) openConsul(plan *config.Plan) (watch.Source, func(), error) {
	if plan.Fixture != "" {
		return p.openFixture(plan)
	}
	src, err := consul.New(plan.Consul)
	if err != nil {
		return nil, nil, plan.PlaceSource(err)
	}
	return src, src.Close, nil
}

// openVault opens Vault, or the fixture of a plan. Without settings of Vault each query of a template has an error that says so, and
// nothing else needs Vault.
func (p *program) openVault(plan *config.Plan) (watch.Source, func(), error) {
	if plan.Fixture != "" {
		return p.openFixture(plan)
	}
	src, err := vault.New(plan.Vault)
	switch {
	case errors.Is(err, vault.ErrUnconfigured):
		return unconfigured{err}, func() {}, nil
	case err != nil:
		return nil, nil, err
	}
	return src, src.Close, nil
}

// openNomad opens Nomad, or the fixture of a plan.
func (p *program) openNomad(plan *config.Plan) (watch.Source, func(), error) {
	if plan.Fixture != "" {
		return p.openFixture(plan)
	}
	src := nomad.New(plan.Nomad)
	return src, src.Close, nil
}

func (p *program) openFixture(plan *config.Plan) (watch.Source, func(), error) {
	src, err := fixture.New(p.files, plan.Fixture)
	if err != nil {
		return nil, nil, plan.PlaceSource(err)
	}
	return src, func() {}, nil
}

// unconfigured is the source of a server that has no settings. Only another configuration helps.
type unconfigured struct{ error }

// Fetch implements watch.Source.
func (u unconfigured) Fetch(context.Context, watch.Query, uint64) (any, uint64, error) {
	return nil, 0, u
}

// Unwrap returns why there is no answer.
func (u unconfigured) Unwrap() error { return u.error }

// Is makes a run with once end at the first such error, as it does where rights are missing.
func (u unconfigured) Is(err error) bool { return err == watch.ErrDenied }

// openSources opens all that answers the queries of a plan.
func (p *program) openSources(plan *config.Plan) (err error) {
	p.source = watch.ByKind{watch.KindFile: p.files}
	for _, b := range p.newProviders() {
		if b.src, b.end, err = b.open(plan); err != nil {
			return err
		}
		b.source = watch.NewSwitch(b.src)
		p.providers = append(p.providers, b)
		for _, kind := range b.kinds {
			p.source[kind] = b.source
		}
	}
	return nil
}

// endSources ends what openSources has opened, the last first.
func (p *program) endSources() {
	for _, b := range slices.Backward(p.providers) {
		b.end()
	}
}

// A replacement is another source for a provider, or the same one with other settings.
type replacement struct {
	*provider
	src watch.Source
	end func()

	changes   bool         // the settings of the source are enough
	next, old vault.Config // what they change to, and from
}

// openReplacements opens the sources that a plan needs and that are not open: all of them, or none and an error.
func (p *program) openReplacements(plan *config.Plan) (all []replacement, err error) {
	for _, b := range p.providers {
		if b.same(plan, p.plan) {
			continue
		}
		r := replacement{provider: b}
		if src, ok := b.src.(*vault.Source); ok && plan.Fixture == "" && src.CanChange(plan.Vault) {
			r.changes, r.next, r.old, r.end = true, plan.Vault, p.plan.Vault, func() {}
			all = append(all, r)
			continue
		}
		if r.src, r.end, err = b.open(plan); err != nil {
			for _, r := range all {
				r.end()
			}
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// close closes the source that is not in use. What it has leased may be in files: the one that is in use revokes that when it has replaced it.
func (r *replacement) close() {
	src, ok := r.src.(*vault.Source)
	if !ok {
		r.end()
		return
	}
	next, _ := r.provider.src.(*vault.Source)
	src.CloseFor(next)
}

// use has the provider answer from the source of the replacement, which from now on is the previous source: a second call undoes the first.
func (r *replacement) use() {
	if r.changes {
		r.provider.src.(*vault.Source).Change(r.next)
		r.next, r.old = r.old, r.next
		return
	}
	if next, ok := r.src.(*vault.Source); ok {
		if now, ok := r.provider.src.(*vault.Source); ok {
			next.Follow(now)
		}
	}
	r.source.Use(r.src)
	r.src, r.provider.src = r.provider.src, r.src
	r.end, r.provider.end = r.provider.end, r.end
}
