package funcs

import (
	"os"

	"github.com/davecgh/go-spew/spew"
)

// dump prints values with their types, and without what differs from pass to pass: addresses, and the order of maps.
var dump = spew.ConfigState{Indent: " ", SortKeys: true, DisablePointerAddresses: true}

// dumped measures values with their types.
var dumped = measure{pretty: true, escape: true, names: 64}

// debugFuncs are the functions that show values. spew_dump and spew_printf write to the standard output.
var debugFuncs = map[string]func(*Env) any{
	"spew_dump": func(e *Env) any {
		return func(values ...any) (string, error) {
			text, err := e.print(dumped, func() string { return dump.Sdump(values...) }, values...)
			if err == nil {
				_, _ = os.Stdout.WriteString(text)
			}
			return "", Wrap("spew_dump", err)
		}
	},
	"spew_printf": func(e *Env) any {
		return func(format string, values ...any) (string, error) {
			text, err := e.printf(dumped, dump.Sprintf, format, values)
			if err == nil {
				_, _ = os.Stdout.WriteString(text)
			}
			return "", Wrap("spew_printf", err)
		}
	},
	"spew_sdump": func(e *Env) any {
		return func(values ...any) (string, error) {
			text, err := e.print(dumped, func() string { return dump.Sdump(values...) }, values...)
			return text, Wrap("spew_sdump", err)
		}
	},
	"spew_sprintf": func(e *Env) any {
		return func(format string, values ...any) (string, error) {
			text, err := e.printf(dumped, dump.Sprintf, format, values)
			return text, Wrap("spew_sprintf", err)
		}
	},
}
