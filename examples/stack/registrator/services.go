package main

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// Conventions says how containers become services.
type Conventions struct {
	Host     string        // first part of each ID, as a rule the name of the machine
	Address  string        // address of published ports; empty: the address of Consul's node
	Internal bool          // register the container's own address and port
	Tags     []string      // tags of every service
	TTL      time.Duration // of the check of services that have no other check; 0: no check
}

// Services returns what to register for a container: one service for each published port, sorted by ID. A container that does not
// run, or that says SERVICE_IGNORE, has none.
func (c Conventions) Services(inspected container.InspectResponse) []*api.AgentServiceRegistration {
	if inspected.State == nil || !inspected.State.Running || inspected.Config == nil {
		return nil
	}
	found := c.ports(inspected)
	var all []*api.AgentServiceRegistration
	for _, p := range found {
		if s := c.service(inspected, p, len(found) > 1); s != nil {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *api.AgentServiceRegistration) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// A place is where a port of a container can be reached.
type place struct {
	port    network.Port // in the container
	address string       // empty: the address of Consul's node
	number  int          // on that address
}

// ports returns the ports of a container that become services.
func (c Conventions) ports(inspected container.InspectResponse) (found []place) {
	hostNetwork := inspected.HostConfig != nil && inspected.HostConfig.NetworkMode.IsHost()
	switch {
	case hostNetwork:
		for port := range inspected.Config.ExposedPorts {
			found = append(found, place{port, c.Address, int(port.Num())})
		}
	case inspected.NetworkSettings == nil:
	case c.Internal:
		if address := internalAddress(inspected); address != "" {
			for port := range inspected.Config.ExposedPorts {
				found = append(found, place{port, address, int(port.Num())})
			}
		}
	default:
		for port, bindings := range inspected.NetworkSettings.Ports {
			if p, ok := c.published(port, bindings); ok {
				found = append(found, p)
			}
		}
	}
	return found
}

// published returns where a published port can be reached: at its first binding. Docker may bind a port for IPv6, too.
func (c Conventions) published(port network.Port, bindings []network.PortBinding) (place, bool) {
	for _, b := range bindings {
		number, err := strconv.Atoi(b.HostPort)
		if err != nil || number == 0 {
			continue
		}
		p := place{port, c.Address, number}
		if p.address == "" && b.HostIP.IsValid() && !b.HostIP.IsUnspecified() {
			p.address = b.HostIP.String()
		}
		return p, true
	}
	return place{}, false
}

// internalAddress returns the container's own address: in the network that it was started with, or in the first by name.
func internalAddress(inspected container.InspectResponse) string {
	networks := inspected.NetworkSettings.Networks
	names := slices.Sorted(maps.Keys(networks))
	if inspected.HostConfig != nil {
		names = append([]string{inspected.HostConfig.NetworkMode.NetworkName()}, names...)
	}
	for _, name := range names {
		n := networks[name]
		if n == nil {
			continue
		}
		for _, address := range []netip.Addr{n.IPAddress, n.GlobalIPv6Address} {
			if address.IsValid() && !address.IsUnspecified() {
				return address.String()
			}
		}
	}
	return ""
}

// service returns the service of one port, or nil if the container says that it is to be ignored. Several is whether the container
// has more than one port.
func (c Conventions) service(inspected container.InspectResponse, p place, several bool) *api.AgentServiceRegistration {
	said, ofPort := metadata(inspected.Config, int(p.port.Num()))
	if said["ignore"] != "" {
		return nil
	}
	number := strconv.Itoa(int(p.port.Num()))
	tags := append(splitTags(said["tags"]), c.Tags...)
	standard := c.Host + ":" + strings.TrimPrefix(inspected.Name, "/") + ":" + number
	if p.port.Proto() == network.UDP {
		standard += ":udp"
		tags = append(tags, "udp")
	}

	name := cmp.Or(said["name"], imageName(inspected.Config.Image))
	if several && !ofPort["name"] {
		name += "-" + number
	}
	s := &api.AgentServiceRegistration{
		ID:      cmp.Or(said["id"], standard),
		Name:    name,
		Tags:    tags,
		Address: p.address,
		Port:    p.number,
		Meta:    attributes(said),
	}
	if s.ID != standard {
		s.Meta[owner] = c.Host
	}
	s.Check = c.check(s, said)
	return s
}

// owner is the key of a service's metadata that names the host of the registrator, where the ID does not.
const owner = "registrator"

// Owns reports whether a service of Consul's agent is one that a registrator on this host has registered.
func (c Conventions) Owns(s *api.AgentService) bool {
	if s.Meta[owner] != "" {
		return s.Meta[owner] == c.Host
	}
	rest, ok := strings.CutPrefix(s.ID, c.Host+":")
	return ok && standardID.MatchString(rest)
}

var standardID = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*:[0-9]+(:udp)?$`)

// metadata returns what a container says about the service of a port, in SERVICE_ labels and variables, by the rest of their names in
// small letters, and which of that it says for this port only. A label wins over a variable, a key with the port over one without.
func metadata(config *container.Config, port int) (said map[string]string, ofPort map[string]bool) {
	said, ofPort = make(map[string]string), make(map[string]bool)
	add := func(key, value string) {
		key, ok := strings.CutPrefix(key, "SERVICE_")
		if !ok {
			return
		}
		key = strings.ToLower(key)
		first, after, cut := strings.Cut(key, "_")
		number, err := strconv.Atoi(first)
		switch {
		case err != nil || !cut:
			if !ofPort[key] {
				said[key] = value
			}
		case number == port:
			said[after], ofPort[after] = value, true
		}
	}
	for _, variable := range config.Env {
		key, value, _ := strings.Cut(variable, "=")
		add(key, value)
	}
	for _, key := range slices.Sorted(maps.Keys(config.Labels)) {
		add(key, config.Labels[key])
	}
	return said, ofPort
}

// splitTags splits a text at its commas. A comma after a backslash belongs to the tag.
func splitTags(text string) (tags []string) {
	const escaped = "\x00"
	for tag := range strings.SplitSeq(strings.ReplaceAll(text, `\,`, escaped), ",") {
		if tag = strings.TrimSpace(strings.ReplaceAll(tag, escaped, ",")); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// imageName returns the last part of an image's name, without its tag and digest.
func imageName(image string) string {
	image, _, _ = strings.Cut(image, "@")
	name, _, _ := strings.Cut(path.Base(image), ":")
	return name
}

// attributes returns what of a container's metadata becomes metadata of the service: what has no other use, as far as Consul accepts
// it.
func attributes(said map[string]string) map[string]string {
	meta := make(map[string]string)
	for key, value := range said {
		used := key == "id" || key == "name" || key == "tags" || key == "ignore" || strings.HasPrefix(key, "check_")
		if !used && metaKey.MatchString(key) && len(value) <= 512 {
			meta[key] = value
		}
	}
	return meta
}

var metaKey = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)

// check returns the check that a container wants for a service, or a TTL check if all services have one, or nil.
func (c Conventions) check(s *api.AgentServiceRegistration, said map[string]string) *api.AgentServiceCheck {
	check := &api.AgentServiceCheck{
		CheckID:                        "service:" + s.ID,
		Interval:                       cmp.Or(said["check_interval"], "10s"),
		Timeout:                        said["check_timeout"],
		Status:                         said["check_initial_status"],
		DeregisterCriticalServiceAfter: said["check_deregister_after"],
	}
	// Consul's agent runs on this machine: without an address the port is published on all of the machine's.
	at := net.JoinHostPort(cmp.Or(s.Address, "127.0.0.1"), strconv.Itoa(s.Port))
	switch {
	case said["check_http"] != "":
		check.HTTP, check.Method = "http://"+at+said["check_http"], said["check_http_method"]
	case said["check_https"] != "":
		check.HTTP, check.Method = "https://"+at+said["check_https"], said["check_https_method"]
	case said["check_tcp"] != "":
		check.TCP = at
	case said["check_ttl"] != "":
		check.TTL, check.Interval, check.Timeout = said["check_ttl"], "", ""
	case c.TTL > 0:
		check.TTL, check.Interval, check.Timeout = c.TTL.String(), "", ""
		check.Status, check.Notes = api.HealthPassing, refreshed
	default:
		return nil
	}
	return check
}

// refreshed is the note of a TTL check that the registrator refreshes.
const refreshed = "registrator refreshes this check while the container runs"
