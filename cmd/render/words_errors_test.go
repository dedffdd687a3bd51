package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// sourceFiles returns the files of the program, parsed with their comments: all Go files but tests, and what only tests and benchmarks
// import.
func sourceFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	const root = "../.."
	all := make(map[string]*ast.File)
	files := token.NewFileSet()
	check(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || strings.HasSuffix(entry.Name(), "test") || entry.Name() == "testdata" || entry.Name() == "bench"):
			return fs.SkipDir
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			file, err := parser.ParseFile(files, path, nil, parser.ParseComments)
			all[path] = file
			return err
		}
		return nil
	}))
	if len(all) < 100 {
		t.Fatalf("found %d files", len(all))
	}
	return all
}

// makesErrors are the functions whose texts users read as errors, hints and notices.
var makesErrors = map[string]bool{
	"errors.New": true, "fmt.Errorf": true, "hint.With": true, "hint.Withf": true,
	"l.fault": true, "d.fault": true, "l.wrong": true, "l.notice": true, "d.notice": true,
}

// errorTexts returns the texts of errors, hints and notices of a file.
func errorTexts(file *ast.File) (all []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		called, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if of, ok := called.X.(*ast.Ident); !ok || !makesErrors[of.Name+"."+called.Sel.Name] {
			return true
		}
		for _, arg := range call.Args {
			if text, ok := arg.(*ast.BasicLit); ok && text.Kind == token.STRING {
				if plain, err := strconv.Unquote(text.Value); err == nil {
					all = append(all, plain)
				}
			}
		}
		return true
	})
	return all
}

// notInErrors finds what an error must not have, beside the words that no document has: a hint within the text, a capital letter at its
// beginning, a full stop at its end, and an inverted sentence.
var notInErrors = regexp.MustCompile(`; (?:give|use|did you mean|see|set|create|take) |^[A-Z][a-z]+ [a-z]|\.$|(?:^|: )is no |, too\b|in place of what|does not like|^(?:it|its) |\bwho\b|nobody|what (?:is|has|it|stands|comes)\b`)

// Errors, hints and notices have the words of documents.
func TestWordsOfErrors(t *testing.T) {
	n := 0
	for path, file := range sourceFiles(t) {
		for _, text := range errorTexts(file) {
			n++
			checkWords(t, path, text)
			if found := notInErrors.FindString(text); found != "" && !strings.HasPrefix(found, "Consul") {
				t.Errorf("%s says %q: %s", path, found, text)
			}
		}
	}
	if n < 400 {
		t.Errorf("found %d texts", n)
	}
}
