// Package plugin runs the programs of templates (the function plugin) and answers queries with what they print.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"

	"render/render/run"
	"render/watch"
)

const (
	mostOutput    = 16 << 20 // bytes that a program of a template may print
	mostComplaint = 300      // bytes of its standard error that an error repeats
)

// Output runs a command, and returns what it prints: its standard output, up to so many bytes, and the end of its standard error.
type Output func(context.Context, run.Command, run.Limits, int64) (stdout []byte, stderr string, err error)

// A Source is a watch.Source of what the programs of templates print. A program runs once for each Fetch with after zero.
type Source struct {
	output Output
	env    []string // added to ours
	index  atomic.Uint64
}

// New returns a source that runs programs by output, with env added to the environment of render.
func New(output Output, env []string) *Source { return &Source{output: output, env: env} }

// Fetch implements watch.Source. With after zero it runs the program. With another after it waits for the end of ctx: what a
// program prints does not change by itself.
func (p *Source) Fetch(ctx context.Context, q watch.Query, after uint64) (any, uint64, error) {
	if after != 0 {
		<-ctx.Done()
		return nil, 0, ctx.Err()
	}
	argv, quiet := q.Plugin()
	out, complaint, err := p.output(ctx, run.Command{Args: argv}, run.Limits{Env: slices.Concat(os.Environ(), p.env)}, mostOutput)
	if err != nil {
		return nil, 0, describe(err, complaint, quiet)
	}
	return strings.TrimSpace(string(out)), p.index.Add(1), nil
}

// describe says why a program failed. Where an argument, or the program's name, does not come from the template's text it
// may be the value of a key, and nothing is repeated that may have it.
func describe(err error, complaint string, quiet bool) error {
	if failed, ok := errors.AsType[*exec.Error](err); ok {
		err = failed.Err // without the name
	}
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		err = failed.Err
	}
	complaint = strings.Join(strings.Fields(complaint), " ")
	switch {
	case quiet:
		return fmt.Errorf("%w; render does not show the messages of the program, because an argument is not in the text of the template", err)
	case complaint == "":
		return err
	}
	return fmt.Errorf("%w: %s", err, strings.ToValidUTF8(complaint[:min(len(complaint), mostComplaint)], ""))
}
