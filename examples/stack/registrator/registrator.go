package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hashicorp/consul/api"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// A registrator keeps Consul's agent in sync with the containers of this machine. Only run changes it.
//
// It trusts no event to be complete: at the start, after each error and every resync it compares all containers with all services of the
// agent. Where Docker or Consul does not answer, everything stays as it is.
type registrator struct {
	Conventions
	docker  *client.Client
	consul  *api.Client
	log     *slog.Logger
	cleanup bool          // deregister services of this host that no container has
	resync  time.Duration // between comparisons; 0: none
	refresh time.Duration // between signs of life of TTL checks; 0: none

	registered map[string]*api.AgentServiceRegistration // by ID: what Consul has accepted from this process
	containers map[string][]string                      // IDs of services by the ID of their container
}

const (
	requestTimeout = 10 * time.Second
	minPause       = 250 * time.Millisecond // after an error
	maxPause       = 2 * time.Second
)

// run follows Docker until ctx is done. Services stay registered then, so that a restart does not interrupt them.
func (r *registrator) run(ctx context.Context) {
	pause := minPause
	for {
		began := time.Now()
		err := r.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > maxPause {
			pause = minPause
		}
		r.log.Warn("not in sync, retrying", "pause", pause, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

// follow brings Consul in sync, and keeps it so until something fails.
func (r *registrator) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	// Docker confirms a subscription before the subscription is made. Events of the last second close that gap.
	since := strconv.FormatInt(time.Now().Add(-time.Second).Unix(), 10)
	stream := r.docker.Events(ctx, client.EventsListOptions{Since: since, Filters: client.Filters{}.
		Add("type", string(events.ContainerEventType), string(events.NetworkEventType)).
		Add("event", string(events.ActionStart), string(events.ActionDie), string(events.ActionRename),
			string(events.ActionConnect), string(events.ActionDisconnect)),
	})
	if err := r.sync(ctx); err != nil {
		return err
	}
	resync, stopResync := ticks(r.resync)
	defer stopResync()
	refresh, stopRefresh := ticks(r.refresh)
	defer stopRefresh()

	for {
		var err error
		select {
		case event := <-stream.Messages:
			err = r.update(ctx, containerOf(event))
		case <-resync:
			err = r.sync(ctx)
		case <-refresh:
			err = r.refreshChecks(ctx)
		case err = <-stream.Err:
			err = fmt.Errorf("events of Docker: %w", cmp.Or(err, errors.New("the stream has ended")))
		}
		if err != nil {
			return err
		}
	}
}

// ticks returns a channel that ticks, or nil for 0, and what ends it.
func ticks(every time.Duration) (<-chan time.Time, func()) {
	if every == 0 {
		return nil, func() {}
	}
	t := time.NewTicker(every)
	return t.C, t.Stop
}

// containerOf returns the ID of the container that an event is about.
func containerOf(event events.Message) string {
	if event.Type == events.NetworkEventType {
		return event.Actor.Attributes["container"]
	}
	return event.Actor.ID
}

// sync compares all containers with all services of Consul's agent, and corrects the services.
func (r *registrator) sync(ctx context.Context) error {
	wanted, containers, err := r.wanted(ctx)
	if err != nil {
		return err
	}
	request, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	present, err := r.consul.Agent().ServicesWithFilterOpts("", new(api.QueryOptions).WithContext(request))
	if err != nil {
		return fmt.Errorf("services of Consul's agent: %w", err)
	}

	r.containers = containers
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		if s := wanted[id]; !reflect.DeepEqual(r.registered[id], s) || !same(present[id], s) {
			if err := r.register(ctx, s); err != nil {
				return err
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(present)) {
		if wanted[id] == nil && (r.registered[id] != nil || r.cleanup && r.Owns(present[id])) {
			if err := r.deregister(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// wanted returns the services of all containers by ID, and their IDs by container.
func (r *registrator) wanted(ctx context.Context) (map[string]*api.AgentServiceRegistration, map[string][]string, error) {
	request, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list, err := r.docker.ContainerList(request, client.ContainerListOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("containers of Docker: %w", err)
	}
	wanted, containers := make(map[string]*api.AgentServiceRegistration), make(map[string][]string)
	for _, c := range list.Items {
		services, err := r.inspect(ctx, c.ID)
		if err != nil {
			return nil, nil, err
		}
		for _, s := range services {
			if wanted[s.ID] != nil {
				r.log.Warn("two containers have a service with the same ID, one of them is left out", "id", s.ID, "container", c.ID)
				continue
			}
			wanted[s.ID] = s
			containers[c.ID] = append(containers[c.ID], s.ID)
		}
	}
	return wanted, containers, nil
}

// inspect returns the services of a container. It waits while Docker is ending the container, whereas a list may still show it.
func (r *registrator) inspect(ctx context.Context, container string) ([]*api.AgentServiceRegistration, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	result, err := r.docker.ContainerInspect(ctx, container, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("container of Docker: %w", err)
	}
	return r.Services(result.Container), nil
}

// update brings the services of one container in sync.
func (r *registrator) update(ctx context.Context, container string) error {
	if container == "" {
		return nil
	}
	services, err := r.inspect(ctx, container)
	if err != nil {
		return err
	}
	previous := r.containers[container]
	var current []string
	for _, s := range services {
		if r.registered[s.ID] != nil && !slices.Contains(previous, s.ID) {
			// Another container has this ID: it may be gone, and its event not read yet.
			return r.sync(ctx)
		}
		current = append(current, s.ID)
		if !reflect.DeepEqual(r.registered[s.ID], s) {
			if err := r.register(ctx, s); err != nil {
				return err
			}
		}
	}
	for _, id := range previous {
		if !slices.Contains(current, id) {
			if err := r.deregister(ctx, id); err != nil {
				return err
			}
		}
	}
	if r.containers[container] = current; len(current) == 0 {
		delete(r.containers, container)
	}
	return nil
}

// same reports whether Consul's agent has a service as it is to be.
func same(present *api.AgentService, s *api.AgentServiceRegistration) bool {
	return present != nil && present.Service == s.Name && present.Address == s.Address && present.Port == s.Port &&
		slices.Equal(present.Tags, s.Tags) && maps.Equal(present.Meta, s.Meta)
}

func (r *registrator) register(ctx context.Context, s *api.AgentServiceRegistration) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	// A check that is registered before and still wanted keeps its status.
	opts := api.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(ctx)
	err := r.consul.Agent().ServiceRegisterOpts(s, opts)
	if refused := new(api.StatusError); errors.As(err, refused) && refused.Code == 400 {
		// Retrying does not help. The other containers must not wait for this one.
		r.log.Error("Consul rejects a service, leaving it out", "id", s.ID, "name", s.Name, "error", err)
		r.registered[s.ID] = s
		return nil
	}
	if err != nil {
		return fmt.Errorf("register %q: %w", s.ID, err)
	}
	r.registered[s.ID] = s
	r.log.Info("registered", "id", s.ID, "name", s.Name, "address", s.Address, "port", s.Port)
	return nil
}

func (r *registrator) deregister(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := r.consul.Agent().ServiceDeregisterOpts(id, new(api.QueryOptions).WithContext(ctx))
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("deregister %q: %w", id, err)
	}
	delete(r.registered, id)
	r.log.Info("deregistered", "id", id)
	return nil
}

// refreshChecks sends a sign of life for each service whose TTL check is the registrator's.
func (r *registrator) refreshChecks(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for _, id := range slices.Sorted(maps.Keys(r.registered)) {
		check := r.registered[id].Check
		if check == nil || check.Notes != refreshed {
			continue
		}
		err := r.consul.Agent().UpdateTTLOpts(check.CheckID, "", api.HealthPassing, new(api.QueryOptions).WithContext(ctx))
		if isNotFound(err) {
			delete(r.registered, id) // the check is gone: register it again
		}
		if err != nil {
			return fmt.Errorf("refresh the check of %q: %w", id, err)
		}
	}
	return nil
}

func isNotFound(err error) bool {
	refused := new(api.StatusError)
	return errors.As(err, refused) && refused.Code == 404
}
