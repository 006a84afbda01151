package fabric

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"ropeway/internal/diag"
)

// A decoder fills the types of file.go from YAML nodes and collects what is wrong on the way.
type decoder struct {
	file     string
	shapes   shapes
	problems diag.List
}

// maxProblems bounds what is reported of one file: who has a thousand errors will run it again.
const maxProblems = 1000

func (d *decoder) report(code diag.Code, at diag.Position, subject string, f fault) {
	if len(d.problems) == maxProblems {
		return
	}
	d.problems = append(d.problems, diag.Problem{
		Code: code, Severity: diag.Error, Subject: subject, Message: f.message, Hint: f.hint, Position: at,
	})
}

func (d *decoder) at(line, column int) diag.Position {
	return diag.Position{File: d.file, Line: line, Column: column}
}

func (d *decoder) node(n *yaml.Node) diag.Position { return d.at(n.Line, n.Column) }

// value reads a node into a field. key is the node of its key, or nil for the entry of a list.
func (d *decoder) value(n, key *yaml.Node, into reflect.Value, f field, subject string) {
	if n.Kind == yaml.AliasNode { // refuseFeatures reported it
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		at := d.node(n)
		message := "an entry of the list is empty"
		if key != nil {
			at, message = d.node(key), fmt.Sprintf("%s has no value", f.key)
		}
		d.report("RW1007", at, subject, fault{message: message, hint: "give it one, or remove it"})
		return
	}
	switch into.Kind() {
	case reflect.Slice:
		d.list(n, into, f, subject)
	case reflect.Struct:
		switch target := into.Addr().Interface().(type) {
		case *Text:
			d.text(n, target, f, subject)
		case *Number:
			d.number(n, target, f, subject)
		case *Flag:
			d.flag(n, target, f, subject)
		default:
			if !strings.Contains(subject, " ") { // not within a named thing
				subject = f.key
			}
			d.mapping(n, into, subject)
		}
	}
}

// mapping reads the keys of a mapping into the fields of a struct.
func (d *decoder) mapping(n *yaml.Node, into reflect.Value, subject string) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, "keys and values", subject)
		return
	}
	into.FieldByName("At").Set(reflect.ValueOf(d.node(n)))
	fields := d.shapes.fields(into.Type())
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" || key.Kind == yaml.AliasNode { // refuseFeatures reported it
			continue
		}
		if key.Kind != yaml.ScalarNode {
			d.wrongType(key, "a word as the key", subject)
			continue
		}
		if line, twice := seen[key.Value]; twice {
			d.report("RW1006", d.node(key), subject, fault{message: fmt.Sprintf("key %s stands here a second time", diag.Quote(key.Value)), hint: fmt.Sprintf("the first is on line %d; keep one", line)})
			continue
		}
		seen[key.Value] = key.Line
		at := slices.IndexFunc(fields, func(f field) bool { return f.key == key.Value })
		if at < 0 {
			d.report("RW1005", d.node(key), subject, fault{message: "unknown key " + diag.Quote(key.Value), hint: diag.DidYouMean(key.Value, keys(fields))})
			continue
		}
		d.value(value, key, into.Field(fields[at].index), fields[at], subject)
	}
	for _, f := range fields {
		if _, ok := seen[f.key]; f.required && !ok {
			d.report("RW1008", d.node(n), subject, fault{message: f.key + " is missing", hint: missingHint(f)})
		}
	}
}

func missingHint(f field) string {
	if f.key == "access" {
		return "say who may talk to whom; a fabric that lets everything talk says access: [{from: any, to: any}]"
	}
	return f.key + ": " + strings.ToLower(f.doc[:1]) + strings.TrimSuffix(f.doc[1:], ".")
}

// list reads a sequence, or a single value where the field allows one.
func (d *decoder) list(n *yaml.Node, into reflect.Value, f field, subject string) {
	entries := n.Content
	if n.Kind != yaml.SequenceNode {
		if !f.one || n.Kind != yaml.ScalarNode {
			d.wrongType(n, "a list", subject)
			return
		}
		entries = []*yaml.Node{n}
	}
	if len(entries) < f.least || f.most > 0 && len(entries) > f.most {
		d.report("RW1008", d.node(n), subject, fault{message: fmt.Sprintf("%s has %d entries", f.key, len(entries)), hint: "it takes " + f.count()})
		if len(entries) > 0 {
			return
		}
	}
	into.Set(reflect.MakeSlice(into.Type(), len(entries), len(entries)))
	for i, entry := range entries {
		of := subject
		if f.noun != "" {
			of = entryName(entry, f.noun, i)
		}
		d.value(entry, nil, into.Index(i), f, of)
	}
}

// entryName returns what messages call the entry of a list: by its name where it has one, else by its number, counted from 1.
func entryName(n *yaml.Node, noun string, i int) string {
	if n.Kind == yaml.MappingNode {
		for k := 0; k+1 < len(n.Content); k += 2 {
			if name := n.Content[k+1].Value; n.Content[k].Value == "name" && ValidName(name) {
				return noun + " " + name
			}
		}
	}
	return noun + " " + strconv.Itoa(i+1)
}

func (d *decoder) text(n *yaml.Node, into *Text, f field, subject string) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!timestamp" {
		d.wrongType(n, "text", subject)
		return
	}
	*into = Text{n.Value, d.node(n)}
	if len(d.problems) == maxProblems {
		return
	}
	if f := f.rule.judge(n.Value); f != nil {
		d.report(f.code, into.At, subject, *f)
	}
}

func (d *decoder) number(n *yaml.Node, into *Number, f field, subject string) {
	if n.Kind != yaml.ScalarNode || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 || !decimal(n.Value) {
		d.wrongType(n, "a whole number", subject)
		return
	}
	value, err := strconv.Atoi(n.Value)
	if err != nil || value < f.rule.min || value > f.rule.max {
		d.report(f.rule.code, d.node(n), subject, fault{
			message: fmt.Sprintf("%s %s is out of range", f.key, strings.Trim(diag.Quote(n.Value), `"`)), hint: fmt.Sprintf("it goes from %d to %d", f.rule.min, f.rule.max)})
		return
	}
	*into = Number{value, d.node(n)}
}

// decimal reports whether s is a whole number as people write it; YAML knows others (0x1f, 0o17, 1_000).
func decimal(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == "" && (digits == "0" || digits[0] != '0')
}

func (d *decoder) flag(n *yaml.Node, into *Flag, _ field, subject string) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		d.wrongType(n, "true or false", subject)
		return
	}
	*into = Flag{strings.EqualFold(n.Value, "true"), d.node(n)}
}

func (d *decoder) wrongType(n *yaml.Node, want, subject string) {
	got := map[yaml.Kind]string{yaml.MappingNode: "keys and values", yaml.SequenceNode: "a list"}[n.Kind]
	hint := ""
	if n.Kind == yaml.ScalarNode {
		got = diag.Quote(n.Value)
		if want == "text" {
			hint = "put it in quotes, or YAML takes it for something else"
		}
	}
	d.report("RW1007", d.node(n), subject, fault{message: fmt.Sprintf("want %s, got %s", want, got), hint: hint})
}

// judge returns what is wrong with a text, or nil.
func (r rule) judge(s string) *fault {
	if r.check != nil {
		return r.check(s)
	}
	if r.oneOf != nil && !slices.Contains(r.oneOf, s) {
		hint := "write " + strings.Join(r.oneOf, ", ")
		if i := strings.LastIndex(hint, ", "); i >= 0 {
			hint = hint[:i] + " or" + hint[i+1:]
		}
		return &fault{"RW1009", diag.Quote(s) + " means nothing here", hint}
	}
	return nil
}
