package nomad

import (
	"cmp"
	"context"
	"net/url"
	"strings"

	"render/watch"
	"render/watch/agent"
	"render/watch/hint"
)

// A kind says how queries of a kind are answered.
type kind struct {
	path       func(q watch.Query) string
	permission string // what a token must be allowed
	answer     func(ctx context.Context, a *agent.Agent, q watch.Query, r agent.Request) (any, agent.Reply, error)
}

// kinds has all kinds that Nomad answers. The answer to a query is made of the request that it is given, with path and parameters.
var kinds = map[string]kind{
	watch.KindNomadServices: {at(servicesPath), readJob, services},
	watch.KindNomadService:  {func(q watch.Query) string { return "/v1/service/" + agent.Segment(q.Name) }, readJob, service},
	watch.KindNomadVar:      {func(q watch.Query) string { return "/v1/var/" + agent.Segments(q.Name) }, `"read" for the path in its variables`, variable},
	watch.KindNomadVars:     {at(variablesPath), `"list" for the paths in its variables`, variables},
}

const (
	servicesPath  = "/v1/services"
	variablesPath = "/v1/vars"
	readJob       = `the capability "read-job" in the namespace`
)

func at(path string) func(watch.Query) string { return func(watch.Query) string { return path } }

// denied returns a refusal with what the token needs, or that no token is known.
func (k kind) denied(err error, hasToken bool) error {
	if !hasToken {
		return hint.With(err, "no token is known: set nomad.token_file, nomad.token or NOMAD_TOKEN to a token with "+k.permission)
	}
	return hint.With(err, "give the token "+k.permission)
}

// params returns the parameters of requests for a query.
func (s *Source) params(q watch.Query) url.Values {
	params := s.scopeOf(q).params()
	if choose := q.Options().Get(watch.OptChoose); choose != "" {
		params.Set(watch.OptChoose, choose)
	}
	if q.Kind == watch.KindNomadVars && q.Name != "" {
		params.Set("prefix", q.Name)
	}
	return params
}

func services(ctx context.Context, a *agent.Agent, _ watch.Query, r agent.Request) (any, agent.Reply, error) {
	var blocks []struct {
		Services []struct {
			ServiceName string
			Tags        []string
		}
	}
	got, err := a.Get(ctx, r, &blocks)
	if err != nil {
		return nil, got, err
	}
	list := []*watch.NomadSnippet{}
	if len(blocks) > 0 { // one namespace was asked
		for _, s := range blocks[0].Services {
			list = append(list, &watch.NomadSnippet{Name: s.ServiceName, Tags: watch.SortedTags(s.Tags)})
		}
	}
	watch.SortNomadSnippets(list)
	return list, got, nil
}

func service(ctx context.Context, a *agent.Agent, q watch.Query, r agent.Request) (any, agent.Reply, error) {
	var found []struct {
		ID, ServiceName, NodeID, Address, Datacenter, JobID, AllocID string

		Port int
		Tags []string
	}
	got, err := a.Get(ctx, r, &found)
	if err != nil {
		return nil, got, err
	}
	list := make([]*watch.NomadService, len(found))
	for i, s := range found {
		list[i] = &watch.NomadService{
			ID: s.ID, Name: s.ServiceName, Node: s.NodeID, Address: s.Address, Port: s.Port, Datacenter: s.Datacenter,
			Tags: watch.SortedTags(s.Tags), JobID: s.JobID, AllocID: s.AllocID,
		}
	}
	return watch.KeepNomadTag(list, q.Options().Get(watch.OptTag)), got, nil
}

// metadata is what Nomad says of a variable.
type metadata struct {
	Namespace, Path          string
	CreateIndex, ModifyIndex uint64
	CreateTime, ModifyTime   int64
}

func (m metadata) meta() watch.NomadVarMeta {
	return watch.NomadVarMeta{
		Namespace: m.Namespace, Path: m.Path, CreateIndex: m.CreateIndex, ModifyIndex: m.ModifyIndex,
		CreateTime: watch.NomadTime(m.CreateTime), ModifyTime: watch.NomadTime(m.ModifyTime),
	}
}

func variable(ctx context.Context, a *agent.Agent, q watch.Query, r agent.Request) (any, agent.Reply, error) {
	var found struct {
		metadata
		Items map[string]string
	}
	got, err := a.Get(ctx, r, &found)
	if err != nil || !got.Found || got.Same || found.Path != q.Name { // a path that Nomad cleans is that of another variable
		return nil, got, err
	}
	return watch.NewNomadVar(found.meta(), found.Items), got, nil
}

func variables(ctx context.Context, a *agent.Agent, _ watch.Query, r agent.Request) (any, agent.Reply, error) {
	var found []metadata
	got, err := a.Get(ctx, r, &found)
	if err != nil {
		return nil, got, err
	}
	list := make([]*watch.NomadVarMeta, len(found))
	for i, m := range found {
		meta := m.meta()
		list[i] = &meta
	}
	return list, got, nil
}

// A scope is what a signal speaks for: all variables, or all services, of a namespace. An empty namespace or region is Nomad's own.
type scope struct {
	services          bool
	namespace, region string
}

const allNamespaces = "*" // in place of the name of one

// params returns the parameters of requests in a scope.
func (sc scope) params() url.Values {
	params := url.Values{}
	if sc.namespace != "" {
		params.Set("namespace", sc.namespace)
	}
	if sc.region != "" {
		params.Set(watch.OptRegion, sc.region)
	}
	return params
}

// scopeOf returns the scope of a query. The functions for variables always name a namespace.
func (s *Source) scopeOf(q watch.Query) scope {
	opts := q.Options()
	sc := scope{
		services:  q.Kind == watch.KindNomadServices || q.Kind == watch.KindNomadService,
		namespace: cmp.Or(opts.Get(watch.OptNamespace), s.namespace),
		region:    cmp.Or(opts.Get(watch.OptRegion), s.region),
	}
	if !sc.services {
		sc.namespace = cmp.Or(sc.namespace, "default")
	}
	return sc
}

// A summary tells two answers about variables apart without their values.
type summary struct {
	count  int    // of variables
	newest uint64 // the highest of their indexes
}

func (s *summary) add(index uint64) {
	s.count++
	s.newest = max(s.newest, index)
}

func summaryOf(value any) (s summary) {
	switch value := value.(type) {
	case *watch.NomadVar:
		s.add(value.ModifyIndex)
	case []*watch.NomadVarMeta:
		for _, m := range value {
			s.add(m.ModifyIndex)
		}
	}
	return s
}

// summaryFor returns the summary that the answer to a query about variables has, if those of its scope have these indexes by path.
func summaryFor(q watch.Query, indexes map[variablePath]uint64) (s summary) {
	if q.Kind == watch.KindNomadVar {
		if index, found := indexes[variablePath{path: q.Name}]; found {
			s.add(index)
		}
		return s
	}
	for at, index := range indexes {
		if strings.HasPrefix(at.path, q.Name) {
			s.add(index)
		}
	}
	return s
}
