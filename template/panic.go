package template

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"runtime/debug"
	"text/template"
)

// A PanicError is why a pass failed in which render, or a library, has panicked. Its text has no value: it is the message of the Go
// runtime or, where the panic is not the runtime's, the type of its value.
type PanicError struct {
	What  string
	Stack []byte // of the goroutine: names of functions, and numbers
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("a bug in render: panic: %s", e.What)
}

// Hint returns what a user does about a bug.
func (e *PanicError) Hint() string { return "report this bug with the stack that the log has" }

// newPanicError returns the error of a pass that has panicked with a value. What recovers the panic must call it.
func newPanicError(p any) *PanicError {
	what := fmt.Sprintf("a value of the type %T", p) // the value itself may hold what was read
	if e, ok := p.(runtime.Error); ok {
		what = e.Error()
	}
	return &PanicError{What: what, Stack: debug.Stack()}
}

// execute executes the tree. Text/template turns a panic of a function into an error, and passes on its own.
func (t *Template) execute(out io.Writer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = newPanicError(p)
		}
	}()
	return t.root.Execute(out, nil)
}

// lacksStack reports whether the last pass failed with a panic of a function, of which text/template keeps no stack.
func (t *Template) lacksStack(err error) bool {
	_, panicked := errors.AsType[runtime.Error](err)
	return panicked
}

// runGuarded is run with functions that return the stack of a panic.
func (t *Template) runGuarded(strict bool) {
	guarded := make(template.FuncMap, len(t.funcs))
	for name, f := range t.funcs {
		guarded[name] = guard(f)
	}
	t.root.Funcs(guarded)
	defer t.root.Funcs(t.funcs)
	t.run(strict)
}

// guard returns a function that panics with a PanicError where f panics because of a fault.
func guard(f any) any {
	function := reflect.ValueOf(f)
	call := function.Call
	if function.Type().IsVariadic() {
		call = function.CallSlice
	}
	return reflect.MakeFunc(function.Type(), func(args []reflect.Value) []reflect.Value {
		defer func() {
			p := recover()
			if _, fault := p.(runtime.Error); fault {
				p = newPanicError(p)
			}
			if p != nil {
				panic(p)
			}
		}()
		return call(args)
	}).Interface()
}
