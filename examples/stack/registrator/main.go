// Registrator registers the containers of this machine in Consul: one service for each published port. It follows Docker's events.
//
//	registrator [flags] [consul://HOST:PORT]
//
// Its conventions are those of the registrator that many tutorials use and that no longer runs on current Docker daemons.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/moby/moby/client"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "registrator:", err)
		os.Exit(1)
	}
}

// run registers containers until ctx is done. It returns an error only for wrong arguments.
func run(ctx context.Context, args []string, output io.Writer) error {
	r, err := parse(args, output)
	if err != nil {
		return err
	}
	defer r.docker.Close()
	r.run(ctx)
	return nil
}

// parse returns a registrator as the command line says.
func parse(args []string, output io.Writer) (*registrator, error) {
	r := &registrator{log: slog.New(slog.NewTextHandler(output, nil)), registered: make(map[string]*api.AgentServiceRegistration)}
	flags := flag.NewFlagSet("registrator", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.Usage = func() {
		fmt.Fprintln(output, "usage: registrator [flags] [consul://HOST:PORT | consul-tls://HOST:PORT | consul-unix://PATH]")
		flags.PrintDefaults()
	}
	flags.StringVar(&r.Address, "ip", "", "`address` to register for published ports (default: the address of Consul's node)")
	flags.BoolVar(&r.Internal, "internal", false, "register each container's own address and its exposed ports, instead of published ports")
	flags.BoolVar(&r.cleanup, "cleanup", true, "deregister services of this host whose container is gone")
	tags := flags.String("tags", "", "`tags` of every service, with commas between them")
	resync := flags.Int("resync", 10, "`seconds` between comparisons of all containers with Consul; 0: compare only at the start and after errors")
	ttl := flags.Int("ttl", 0, "`seconds` without a sign of life after which a service without a check becomes critical; 0: never")
	refresh := flags.Int("ttl-refresh", 0, "`seconds` between signs of life (default: a third of -ttl)")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}

	r.Tags = splitTags(*tags)
	r.resync, r.TTL, r.refresh = seconds(*resync), seconds(*ttl), seconds(*refresh)
	if r.refresh == 0 {
		r.refresh = r.TTL / 3
	}
	if err := r.check(*resync, *ttl, *refresh); err != nil {
		return nil, err
	}
	var err error
	if r.Host, err = os.Hostname(); err != nil {
		return nil, fmt.Errorf("name of this machine: %w", err)
	}
	if r.docker, err = client.New(client.FromEnv); err != nil {
		return nil, fmt.Errorf("address of Docker: %w", err)
	}
	if flags.NArg() > 1 {
		return nil, fmt.Errorf("%d addresses of Consul: at most one is possible, after all flags", flags.NArg())
	}
	r.consul, err = consulAt(flags.Arg(0))
	return r, err
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// check returns what is wrong with the flags.
func (r *registrator) check(resync, ttl, refresh int) error {
	if _, err := netip.ParseAddr(r.Address); r.Address != "" && err != nil {
		return fmt.Errorf("-ip: %q is not an IP address", r.Address)
	}
	if resync < 0 || ttl < 0 || refresh < 0 {
		return errors.New("-resync, -ttl and -ttl-refresh: a number of seconds is not negative")
	}
	if r.refresh > r.TTL || refresh > 0 && ttl == 0 {
		return errors.New("-ttl-refresh: must be shorter than -ttl")
	}
	return nil
}

// consulAt returns a client for the Consul agent at an address. Variables such as CONSUL_HTTP_TOKEN apply.
func consulAt(address string) (*api.Client, error) {
	config := api.DefaultConfig()
	scheme, place, ok := strings.Cut(address, "://")
	switch {
	case address == "":
	case !ok:
		return nil, fmt.Errorf("address of Consul: %q does not begin with consul://", address)
	case scheme == "consul-unix":
		config.Address = "unix://" + place
	case scheme == "consul-tls" && place != "":
		config.Address, config.Scheme = place, "https"
	case scheme == "consul":
		if place != "" {
			config.Address = place
		}
	default:
		return nil, fmt.Errorf("address of Consul: %q is not consul://HOST:PORT, consul-tls://HOST:PORT or consul-unix://PATH", address)
	}
	c, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("address of Consul: %w", err)
	}
	return c, nil
}
