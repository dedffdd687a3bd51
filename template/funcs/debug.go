package funcs

import (
	"os"

	"github.com/davecgh/go-spew/spew"
)

// dump prints values with their types, and without what differs from pass to pass: addresses, and the order of maps.
var dump = spew.ConfigState{Indent: " ", SortKeys: true, DisablePointerAddresses: true}

// debugFuncs are the functions that show values. spew_dump and spew_printf write to the standard output.
var debugFuncs = map[string]any{
	"spew_dump": func(values ...any) string { dump.Fdump(os.Stdout, values...); return "" },
	"spew_printf": func(format string, values ...any) string {
		_, _ = dump.Fprintf(os.Stdout, format, values...)
		return ""
	},
	"spew_sdump":   func(values ...any) string { return dump.Sdump(values...) },
	"spew_sprintf": func(format string, values ...any) string { return dump.Sprintf(format, values...) },
}
