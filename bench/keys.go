//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

func oneKey(ctx context.Context, b *bench) (m measured, err error) {
	const n = 200
	if err := b.Put("key", "first"); err != nil {
		return m, err
	}
	bare, err := b.bareQuery(ctx, "key?", n, func(i int) error { return b.Put("key", fmt.Sprintf("bare %d", i)) })
	if err != nil {
		return m, err
	}
	spec, err := b.template("file", `{{key "key"}}`)
	if err != nil {
		return m, err
	}
	m, err = b.changes(ctx, n, interval, []string{spec}, func(i int) change {
		value := fmt.Sprintf("value %d;", i)
		return change{func() error { return b.Put("key", value) }, value, []string{"file"}}
	})
	m.note = bare
	return m, err
}

// bareQuery returns a note with the time that changes take to answer a blocking query for keys, without render.
func (b *bench) bareQuery(ctx context.Context, path string, n int, change func(i int) error) (note string, err error) {
	type answer struct {
		index string
		at    time.Time
		err   error
	}
	query := func(index string) (a answer) {
		a.index, a.err = askAfter(ctx, http.DefaultClient, "http://"+b.Addr+"/v1/kv/"+path+"&stale", index)
		a.at = time.Now()
		return a
	}
	a := query("0")
	if a.err != nil {
		return "", a.err
	}
	times := make([]time.Duration, n)
	for i := range n {
		answers := make(chan answer, 1)
		go func() { answers <- query(a.index) }()
		if err := pause(ctx, interval/2); err != nil {
			return "", err
		}
		began := time.Now()
		if err := change(i); err != nil {
			return "", err
		}
		if a = <-answers; a.err != nil {
			return "", a.err
		}
		times[i] = a.at.Sub(began)
	}
	slices.Sort(times)
	return fmt.Sprintf("a bare blocking query: %.2f ms", percentile(times, 50)), nil
}

func sharedKey(ctx context.Context, b *bench) (m measured, err error) {
	const n = 10
	var specs, names []string
	for i := range 500 {
		name := fmt.Sprint(i)
		spec, err := b.template(name, fmt.Sprintf(`{{key "shared"}} %d`, i))
		if err != nil {
			return m, err
		}
		specs, names = append(specs, spec), append(names, name)
	}
	if err := b.Put("shared", "first"); err != nil {
		return m, err
	}
	m, err = b.changes(ctx, n, interval, specs, func(i int) change {
		value := fmt.Sprintf("value %d;", i)
		return change{func() error { return b.Put("shared", value) }, value, names}
	})
	m.cpu /= n
	return m, err
}

// quietInterval is longer than an action rests after it has rendered a large template.
const quietInterval = time.Second

func tree(ctx context.Context, b *bench) (m measured, err error) {
	const keys, n = 10000, 20
	filler := strings.Repeat("x", 90)
	put := func(i int, value string) error { return b.Put(fmt.Sprintf("tree/%d/%d", i/100, i), value+filler) }
	if err := parallel(keys, func(i int) error { return put(i, "first") }); err != nil {
		return m, err
	}
	spec, err := b.template("file", `{{range tree "tree"}}{{.Key}} = {{.Value}}
{{end}}`)
	if err != nil {
		return m, err
	}
	bare, err := b.bareQuery(ctx, "tree/?recurse", n, func(i int) error { return put(i*499, fmt.Sprintf("bare %d", i)) })
	if err != nil {
		return m, err
	}
	m, err = b.changes(ctx, n, quietInterval, []string{spec}, func(i int) change {
		value := fmt.Sprintf("value %d;", i)
		return change{func() error { return put(i*499, value) }, value, []string{"file"}}
	})
	m.note = bare
	return m, err
}
