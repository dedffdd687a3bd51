package web

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"render/render/history"
	"render/render/status"
)

var update = flag.Bool("update", false, "write the description of the API anew")

type object = map[string]any

// The description of the API is made of the types and their comments. To write it anew: go test ./render/web -run OpenAPI -update.
func TestOpenAPI(t *testing.T) {
	made, err := json.MarshalIndent(openAPI(t), "", " ")
	check(t, err)
	const path = "openapi.json"
	if *update {
		check(t, os.WriteFile(path, append(made, '\n'), 0o644))
	}
	file, err := os.ReadFile(path)
	check(t, err)
	if strings.TrimSpace(string(file)) != string(made) {
		t.Error("openapi.json is not what the types say; run go test ./render/web -run OpenAPI -update")
	}

	validateAPI(t, serve(t, newServer(t, newSample(24, "")), Settings{}))
}

// validateAPI compares what a server answers with what openapi.json says.
func validateAPI(t *testing.T, url string) {
	t.Helper()
	var api struct {
		Paths map[string]struct {
			Get struct {
				Responses map[string]struct {
					Content map[string]struct{ Schema object }
				}
			}
		}
		Components struct{ Schemas map[string]object }
	}
	check(t, json.Unmarshal(openAPIText, &api))
	for path, p := range api.Paths {
		schema, ok := p.Get.Responses["200"].Content["application/json"]
		if !ok {
			continue
		}
		_, h, body := get(t, http.DefaultClient, url+path)
		var value any
		check(t, json.Unmarshal([]byte(body), &value))
		if h.Get("Content-Type") != "application/json" {
			t.Errorf("%s is %s", path, h.Get("Content-Type"))
		}
		v := validator{t, api.Components.Schemas, make(map[string]bool)}
		v.validate(path, schema.Schema, value)
		if path == "/api/v1/openapi.json" {
			continue
		}
		if len(v.seen) < 5 {
			t.Errorf("%s has only %v", path, v.seen)
		}
	}
	for _, path := range []string{"status", "targets", "actions", "queries", "history", "events", "openapi.json"} {
		if _, ok := api.Paths["/api/v1/"+path]; !ok {
			t.Errorf("%s is not described", path)
		}
	}
}

// A validator compares values with schemas.
type validator struct {
	*testing.T
	schemas map[string]object
	seen    map[string]bool // properties
}

func (v validator) validate(at string, schema object, value any) {
	if ref, ok := schema["$ref"].(string); ok {
		schema = v.schemas[strings.TrimPrefix(ref, "#/components/schemas/")]
	}
	wrong := func() { v.Errorf("%s: %v is no %v", at, value, schema) }
	switch value := value.(type) {
	case string:
		if schema["type"] != "string" {
			wrong()
		}
		if words, ok := schema["enum"].([]any); ok && !slices.Contains(words, any(value)) {
			wrong()
		}
		if _, err := time.Parse(time.RFC3339Nano, value); schema["format"] == "date-time" && err != nil {
			wrong()
		}
	case float64:
		if schema["type"] != "number" && (schema["type"] != "integer" || value != float64(int64(value))) {
			wrong()
		}
	case bool:
		if schema["type"] != "boolean" {
			wrong()
		}
	case []any:
		if schema["type"] != "array" {
			wrong()
			return
		}
		for i, e := range value {
			v.validate(at+"["+strconv.Itoa(i)+"]", schema["items"].(object), e)
		}
	case object:
		if schema["type"] != "object" {
			wrong()
			return
		}
		properties, _ := schema["properties"].(object)
		more, _ := schema["additionalProperties"].(object)
		for name, e := range value {
			switch p, ok := properties[name].(object); {
			case ok:
				v.seen[name] = true
				v.validate(at+"."+name, p, e)
			case more != nil:
				v.validate(at+"."+name, more, e)
			case properties != nil:
				v.Errorf("%s.%s is not described", at, name)
			}
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := value[name.(string)]; !ok {
				v.Errorf("%s has no %s", at, name)
			}
		}
	default:
		wrong()
	}
}

// openAPI describes the API.
func openAPI(t *testing.T) object {
	g := &describer{comments: make(map[string]string), words: make(map[string][]string), schemas: make(object)}
	g.read(t, "../status")
	g.read(t, "../history")
	answer := func(summary string, value any, parameters ...object) object {
		content := object{"application/json": object{"schema": g.schema(reflect.TypeOf(value))}}
		get := object{"summary": summary, "responses": object{"200": object{"description": "the answer", "content": content}, "503": object{"description": "the engine does not answer"}}}
		if len(parameters) > 0 {
			get["parameters"] = parameters
		}
		return object{"get": get}
	}
	parameter := func(name, description string, schema object) object {
		return object{"name": name, "in": "query", "description": description, "schema": schema}
	}
	text, number := object{"type": "string"}, object{"type": "integer", "minimum": 0}
	events := answer("server-sent events: something has changed. The data of an event named change is a Change; comments show that the stream lives", history.Change{},
		parameter("after", "the number of a snapshot: only later changes are events. The header Last-Event-ID means the same", number))
	get := events["get"].(object)
	content := get["responses"].(object)["200"].(object)
	content["content"] = object{"text/event-stream": object{"schema": text, "x-data": object{"$ref": "#/components/schemas/Change"}}}
	own := object{"get": object{"summary": "this description", "responses": object{"200": object{"description": "the answer", "content": object{"application/json": object{"schema": object{"type": "object"}}}}}}}
	paths := object{
		"/api/v1/status":  answer("the state in numbers, and in one line", status.Overview{}),
		"/api/v1/targets": answer("the state of each target: one template and its file", status.Targets{}),
		"/api/v1/actions": answer("the state of each action: check, command, verification", status.Actions{}),
		"/api/v1/queries": answer("the state of each query", status.Queries{}),
		"/api/v1/history": answer("the last commits, the newest first", history.Commits{},
			parameter("file", "only commits with the file of this path", text), parameter("target", "only commits with a file of this target", text),
			parameter("action", "only commits of this action", text), parameter("limit", fmt.Sprintf("at most so many commits; %d without it", defaultCommits), number)),
		"/api/v1/events":       events,
		"/api/v1/openapi.json": own,
	}
	return object{
		"openapi": "3.1.0", "info": object{"title": "render", "version": "1", "description": "What a running render does, and why it did it. It only reads. Later versions may add properties and words."},
		"paths": paths, "components": object{"schemas": g.schemas, "securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "description": "where listen.token_file is set; not by a unix socket"}}},
		"security": []object{{}, {"token": []string{}}},
	}
}

// A describer makes schemas of types.
type describer struct {
	comments map[string]string   // of types and of fields, as Target and Target.ID
	words    map[string][]string // of types of text
	schemas  object
}

// read reads comments and constants of a package.
func (g *describer) read(t *testing.T, folder string) {
	paths, err := filepath.Glob(folder + "/*.go")
	check(t, err)
	for _, path := range paths {
		file, err := parser.ParseFile(gotoken.NewFileSet(), path, nil, parser.ParseComments)
		check(t, err)
		for _, d := range file.Decls {
			d, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.ValueSpec:
					if kind, ok := s.Type.(*ast.Ident); ok && len(s.Values) == 1 {
						if literal, ok := s.Values[0].(*ast.BasicLit); ok && literal.Kind == gotoken.STRING {
							word, err := strconv.Unquote(literal.Value)
							check(t, err)
							g.words[kind.Name] = append(g.words[kind.Name], word)
							g.comments[kind.Name+"="+word] = strings.TrimSpace(s.Comment.Text())
						}
					}
				case *ast.TypeSpec:
					g.comments[s.Name.Name] = strings.TrimSpace(strings.ReplaceAll(d.Doc.Text(), "\n", " "))
					fields, ok := s.Type.(*ast.StructType)
					if !ok {
						continue
					}
					for _, f := range fields.Fields.List {
						for _, name := range f.Names {
							g.comments[s.Name.Name+"."+name.Name] = strings.TrimSpace(f.Comment.Text())
						}
					}
				}
			}
		}
	}
}

func (g *describer) schema(kind reflect.Type) object {
	switch {
	case kind == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case kind.Kind() == reflect.Pointer:
		return g.schema(kind.Elem())
	case kind.Kind() == reflect.Slice:
		return object{"type": "array", "items": g.schema(kind.Elem())}
	case kind.Kind() == reflect.Map:
		return object{"type": "object", "additionalProperties": object{"type": "integer"}}
	case kind.Kind() == reflect.Bool:
		return object{"type": "boolean"}
	case kind.Kind() == reflect.Float64:
		return object{"type": "number"}
	case kind.Kind() == reflect.String:
		words := g.words[kind.Name()]
		if len(words) == 0 {
			return object{"type": "string"}
		}
		var meanings []string
		for _, word := range words {
			meanings = append(meanings, word+": "+g.comments[kind.Name()+"="+word])
		}
		g.schemas[kind.Name()] = object{"type": "string", "enum": words, "description": g.comments[kind.Name()] + " " + strings.Join(meanings, "; ")}
	case kind.Kind() == reflect.Struct:
		if g.schemas[kind.Name()] == nil {
			g.structure(kind)
		}
	default:
		return object{"type": "integer"}
	}
	return object{"$ref": "#/components/schemas/" + kind.Name()}
}

// structure adds the schema of a struct.
func (g *describer) structure(kind reflect.Type) {
	properties := make(object)
	g.schemas[kind.Name()] = properties // of a type that has itself
	var required []string
	for i := range kind.NumField() {
		f := kind.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		schema := maps.Clone(g.schema(f.Type))
		if comment := g.comments[kind.Name()+"."+f.Name]; comment != "" {
			schema["description"] = comment
		}
		properties[name] = schema
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	g.schemas[kind.Name()] = object{"type": "object", "properties": properties, "required": required, "description": g.comments[kind.Name()]}
}
