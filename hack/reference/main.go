// Command reference writes docs/reference/conditions.md and docs/reference/events.md from the Go sources, into the tree
// given. It fails if docs/reference/reasons.md, which is written by hand, leaves out a reason that the sources give.
package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const generated = "<!-- Made by `make generate` from the Go sources; change it there. -->\n\n"

func main() {
	if err := run(filepath.Join(os.Args[1], "docs", "reference")); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	s := sources{reasons: map[string]string{}, structs: map[string]*ast.StructType{}, docs: map[string]string{}, versions: map[string]string{}}
	s.conditions.WriteString("# Conditions and reasons\n\n" + generated + "The constants. [reasons.md](reasons.md) says what to do about each.\n")
	if err := errors.Join(filepath.WalkDir("api", s.read), filepath.WalkDir("internal", s.read)); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(out, "conditions.md"), []byte(s.conditions.String()), 0o644),
		os.WriteFile(filepath.Join(out, "events.md"), []byte(s.eventsPage()), 0o644),
		s.checkReasons("docs/reference/reasons.md"))
}

// named are the constants of interest.
var named = regexp.MustCompile(`^(Condition|Reason|APIReason)[A-Z]`)

// sources is what the Go files say.
type sources struct {
	files      token.FileSet
	conditions strings.Builder
	reasons    map[string]string          // where each reason is given
	structs    map[string]*ast.StructType // of package agent, by name
	docs       map[string]string
	events     []string          // in the order of the sources
	versions   map[string]string // ".v1", by event
}

func (s *sources) read(path string, entry fs.DirEntry, err error) error {
	if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
		return err
	}
	file, err := parser.ParseFile(&s.files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.GenDecl:
			if d.Tok == token.CONST {
				err = errors.Join(err, s.constants(filepath.ToSlash(filepath.Dir(path)), d))
			} else if file.Name.Name == "agent" {
				s.types(d)
			}
		case *ast.FuncDecl:
			if file.Name.Name == "agent" && d.Name.Name == "stored" {
				s.event(d)
			}
		}
	}
	ast.Inspect(file, s.literal)
	return err
}

// constants writes a block's table.
func (s *sources) constants(dir string, block *ast.GenDecl) error {
	var rows strings.Builder
	for _, spec := range block.Specs {
		c, ok := spec.(*ast.ValueSpec)
		if !ok || !named.MatchString(c.Names[0].Name) || len(c.Values) != 1 {
			continue
		}
		name, comment := c.Names[0].Name, sentence(c.Doc, c.Comment)
		if comment == "" {
			return fmt.Errorf("%s: %s has no comment", s.files.Position(c.Pos()), name)
		}
		comment = strings.TrimPrefix(strings.TrimLeft(strings.TrimPrefix(comment, name), ": "), "is ")
		fmt.Fprintf(&rows, "| `%s` | %s |\n", text(c.Values[0]), comment)
		if !strings.HasPrefix(name, "Condition") {
			s.note(c.Values[0])
		}
	}
	if rows.Len() > 0 {
		title, rest, _ := strings.Cut(sentence(block.Doc)+" ", ". ")
		fmt.Fprintf(&s.conditions, "\n## %s\n\n%s(`%s`)\n\n| name | meaning |\n|---|---|\n%s", title, rest, dir, rows.String())
	}
	return nil
}

// literal notes a reason that is spelled out where it is given: Reason: "X", or the first words of a fault.
func (s *sources) literal(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Reason" {
			s.note(n.Value)
		}
	case *ast.CallExpr:
		if name := types.ExprString(n.Fun); name == "fault.NewWait" && len(n.Args) > 1 {
			s.note(n.Args[1])
		} else if strings.HasPrefix(name, "fault.New") && len(n.Args) > 0 {
			s.note(n.Args[0])
		}
	}
	return true
}

func (s *sources) note(e ast.Expr) {
	if value := text(e); value != "" {
		s.reasons[value] = s.files.Position(e.Pos()).String()
	}
}

func (s *sources) types(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		if t, ok := spec.(*ast.TypeSpec); ok {
			s.structs[t.Name.Name], _ = t.Type.(*ast.StructType)
			s.docs[t.Name.Name] = sentence(t.Doc, d.Doc)
		}
	}
}

func (s *sources) event(method *ast.FuncDecl) {
	if returned, ok := method.Body.List[0].(*ast.ReturnStmt); ok {
		name := types.ExprString(method.Recv.List[0].Type)
		s.events = append(s.events, name)
		s.versions[name] = ".v" + types.ExprString(returned.Results[1])
	}
}

func (s *sources) eventsPage() string {
	var page strings.Builder
	page.WriteString("# Journal events\n\n" + generated + "Every event that a journal may hold, with the fields of its data. " +
		"A record adds shard, position, stream, sequence, time, epoch, the hash of the stream's record before it, and as subject the command's key. Types are listed below the events.\n")
	names := slices.Clone(s.events)
	for i := 0; i < len(names); i++ {
		fmt.Fprintf(&page, "\n## %s%s\n\n%s\n", names[i], s.versions[names[i]], s.docs[names[i]])
		for n, field := range s.structs[names[i]].Fields.List {
			if n == 0 {
				page.WriteString("\n| field | type | meaning |\n|---|---|---|\n")
			}
			kind := types.ExprString(field.Type)
			name, _, _ := strings.Cut(reflect.StructTag(text(field.Tag)).Get("json"), ",")
			fmt.Fprintf(&page, "| `%s` | `%s` | %s |\n", name, kind, sentence(field.Doc, field.Comment))
			if inner := strings.TrimLeft(kind, "[]*"); s.structs[inner] != nil && !slices.Contains(names, inner) {
				names = append(names, inner)
			}
		}
	}
	return page.String()
}

func (s *sources) checkReasons(path string) error {
	page, err := os.ReadFile(path)
	for _, value := range slices.Sorted(maps.Keys(s.reasons)) {
		if !strings.Contains(string(page), "| `"+value+"` |") {
			err = errors.Join(err, fmt.Errorf("%s has no row for the reason %s of %s", path, value, s.reasons[value]))
		}
	}
	return err
}

// text returns the value of a string literal, and nothing for other expressions.
func text(e ast.Expr) string {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return ""
	}
	value, _ := strconv.Unquote(literal.Value) // the parser has read it
	return value
}

// sentence returns the first comment that there is, on one line and fit for a table.
func sentence(comments ...*ast.CommentGroup) string {
	for _, c := range comments {
		if words := strings.Fields(c.Text()); len(words) > 0 {
			return strings.ReplaceAll(strings.Join(words, " "), "|", `\|`)
		}
	}
	return ""
}
