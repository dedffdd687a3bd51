package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"render/render"
)

// guardFlags are the flags that keep losses of instances from all templates.
func guardFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name:    "guard",
			Usage:   "hold back answers that have lost too many instances: `min=N,max_drop=N%,hold=DURATION,then=WHAT`, where WHAT is keep, accept or fail (default of hold and then: 5m and keep)",
			EnvVars: []string{"RENDER_GUARD"},
		},
		&cli.DurationFlag{
			Name:        "remove-delay",
			Usage:       "go on with an instance that is gone for this `DURATION`, as in 5s: it may come back",
			DefaultText: "none",
			EnvVars:     []string{"RENDER_REMOVE_DELAY"},
		},
	}
}

// setGuards gives targets what the flags say.
func setGuards(c *cli.Context, targets []render.Target) error {
	guard, err := parseGuard(c.String("guard"))
	if err != nil {
		return err
	}
	for i := range targets {
		targets[i].Guard, targets[i].RemoveDelay = guard, c.Duration("remove-delay")
	}
	return nil
}

// guardParts are the parts of a guard, with how each is read.
var guardParts = map[string]func(g *render.Guard, value string) error{
	"min":      readMin,
	"max_drop": readMaxDrop,
	"hold":     readHold,
	"then":     readThen,
}

// parseGuard reads a guard as its String writes it: "min=2,max_drop=50%,hold=5m,then=keep". Each part can be left out, and
// the order is free. An empty text is no guard.
func parseGuard(text string) (render.Guard, error) {
	var g render.Guard
	if text == "" {
		return g, nil
	}
	var given []string
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		name = strings.ReplaceAll(name, "-", "_")
		read := guardParts[name]
		switch {
		case read == nil:
			return g, fmt.Errorf("guard %q: there is no part %q; the parts are min, max_drop, hold and then", text, name)
		case slices.Contains(given, name):
			return g, fmt.Errorf("guard %q: %s is given twice", text, name)
		case value == "":
			return g, fmt.Errorf("guard %q: %s has no value", text, name)
		}
		if err := read(&g, value); err != nil {
			return g, fmt.Errorf("guard %q: %s: %w", text, name, err)
		}
		given = append(given, name)
	}
	return g, nil
}

func readMin(g *render.Guard, value string) (err error) {
	if g.Min, err = strconv.Atoi(value); err != nil {
		return fmt.Errorf("%q is not a number of instances", value)
	}
	return nil
}

func readMaxDrop(g *render.Guard, value string) (err error) {
	number, percent := strings.CutSuffix(value, "%")
	if g.MaxDrop, err = strconv.ParseFloat(strings.TrimSpace(number), 64); err != nil {
		return fmt.Errorf("%q is not a share of the instances, as in 50%% or 0.5", value)
	}
	if percent {
		g.MaxDrop /= 100
	}
	return nil
}

func readHold(g *render.Guard, value string) (err error) {
	if g.Hold, err = time.ParseDuration(value); err != nil {
		return fmt.Errorf("%w; give it with a unit, as in 5m", err)
	}
	return nil
}

func readThen(g *render.Guard, value string) error {
	g.Then = render.GuardThen(value)
	return nil
}
