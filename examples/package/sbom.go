package main

import (
	"debug/buildinfo"
	"encoding/json"
	"strings"
	"time"
)

// A component is a program or a module of an SBOM in the format CycloneDX.
type component struct {
	Type    string `json:"type"`
	Ref     string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Purl    string `json:"purl,omitempty"`
	Hashes  []hash `json:"hashes,omitempty"`
}

// A hash is one of a file.
type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// sbom writes the SBOM of a program: what "go version -m" shows. It has no serial number, which would differ between builds.
func (r *release) sbom(program, path string) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	sum, err := digest(program)
	if err != nil {
		return err
	}

	modules := []component{module("std", strings.TrimPrefix(info.GoVersion, "go"))} // Go's library, by the name that scanners use
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		modules = append(modules, module(m.Path, m.Version))
	}
	var refs []string
	for _, m := range modules {
		refs = append(refs, m.Ref)
	}
	self := component{Type: "application", Ref: "render@" + r.version, Name: "render", Version: r.version, Hashes: []hash{{"SHA-256", sum}}}
	text, err := json.MarshalIndent(map[string]any{
		"bomFormat":    "CycloneDX",
		"specVersion":  "1.5",
		"version":      1,
		"metadata":     map[string]any{"timestamp": r.epoch.Format(time.RFC3339), "component": self},
		"components":   modules,
		"dependencies": []any{map[string]any{"ref": self.Ref, "dependsOn": refs}},
	}, "", "  ")
	if err != nil {
		return err
	}
	return r.write(path, append(text, '\n'))
}

// module returns the component of a Go module.
func module(path, version string) component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return component{Type: "library", Ref: purl, Name: path, Version: version, Purl: purl}
}
