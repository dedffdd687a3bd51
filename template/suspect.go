package template

import "slices"

// A Suspect is a place in the text that is probably a mistake, although the execution goes on there.
type Suspect struct {
	site site
	Why  string
}

const (
	noValue       = "<no value>" // what text/template prints in place of a value that does not exist
	printsNoValue = "a value does not exist here, and <no value> is printed in its place"
	noName        = "the service has no name, so it has no instances"

	mostReported = 20 // places of a template
)

// Place returns the place as name:line:column.
func (s Suspect) Place() string { return s.site.text.place(s.site.pos) }

// Unreported returns the suspects of a result of this template that no earlier call returned. It returns at most 20 over all
// calls: a template that is made by a program can have thousands.
func (t *Template) Unreported(r Result) (all []Suspect) {
	for _, s := range r.Suspect {
		if len(t.reported) >= mostReported {
			break
		}
		if t.reported[s] {
			continue
		}
		if t.reported == nil {
			t.reported = make(map[Suspect]bool)
		}
		t.reported[s] = true
		all = append(all, s)
	}
	return all
}

// addSuspect adds to the suspects of this execution, and of the iteration that is recorded. Each has a suspect once.
func (p *pass) addSuspect(s Suspect) {
	if r := p.recording; r != nil && !slices.Contains(r.suspect, s) {
		r.suspect = append(r.suspect, s)
	}
	if p.suspects[s] {
		return
	}
	if p.suspects == nil {
		p.suspects = make(map[Suspect]bool)
	}
	p.suspects[s] = true
	p.result.Suspect = append(p.result.Suspect, s)
}
