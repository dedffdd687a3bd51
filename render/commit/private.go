package commit

import "strings"

// An outputError is the error of a command, with what it printed.
type outputError struct {
	error
	output  string
	private bool
}

// withOutput adds what a command printed to its error, without secrets.
func (c *commit) withOutput(err error, output string) error {
	if output = strings.TrimSpace(c.withoutSecrets(output)); output == "" {
		return err
	}
	return &outputError{err, "; it said: " + output, c.isPrivate()}
}

func (e *outputError) Error() string { return e.error.Error() + e.output }
func (e *outputError) Unwrap() error { return e.error }

// isPrivate reports whether a secret went into a file, or not everybody may read it.
func (c *commit) isPrivate() bool {
	for _, f := range c.all {
		if !f.want.Show || !c.isPublic(f) {
			return true
		}
	}
	return false
}

// isPublic reports whether everybody may read a file, as it was and as it is to be.
func (c *commit) isPublic(f *file) bool { return f.IsPublic() && c.Folders.ArePublic(f.Real()) }

const notShown = "; what it printed is in the log only"

// PublicText returns the text of an error for those who may not read all files: without what commands printed for private files.
func PublicText(err error) string {
	text := err.Error()
	each(err, func(e *outputError) {
		if e.private {
			text = strings.ReplaceAll(text, e.output, notShown)
		}
	})
	return text
}

// each calls do with all errors of commands that an error consists of.
func each(err error, do func(*outputError)) {
	if e, ok := err.(*outputError); ok {
		do(e)
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			each(inner, do)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			each(inner, do)
		}
	}
}
