package fabric

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"ropeway/internal/diag"
)

// MaxSize bounds a fabric file, in bytes: ten times one of 1,000 gateways and 10,000 prefixes.
const MaxSize = 4 << 20

// maxDepth bounds how deep a file nests. The format itself nests seven deep.
const maxDepth = 64

// Parse reads a fabric file. The list holds everything that is wrong with it, in the order of the file, the first
// thousand of it; name stands in the positions. The
// file is nil only where the text is not a YAML document at all; otherwise it holds whatever could be read, so that its meaning can be
// judged in the same run.
func Parse(name string, data []byte) (*File, diag.List) {
	d := &decoder{file: name, shapes: newShapes()}
	node := d.load(data)
	if node == nil {
		return nil, d.problems
	}
	d.refuseFeatures(node)
	var f File
	d.mapping(node, reflect.ValueOf(&f).Elem(), "")
	d.problems.Sort()
	return &f, d.problems
}

// load turns text into the node of its only document, or nil.
func (d *decoder) load(data []byte) *yaml.Node {
	if len(data) > MaxSize {
		d.report("RW1002", diag.Position{File: d.file}, "",
			fault{message: fmt.Sprintf("the file has %d bytes, more than %d", len(data), MaxSize), hint: "split the fabric"})
		return nil
	}
	if !d.readable(data) {
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		panic("fabric: " + err.Error()) // only wrong options are refused
	}
	var first, second yaml.Node
	err = loader.Load(&first)
	if errors.Is(err, io.EOF) || err == nil && (len(first.Content) == 0 || first.Content[0].Tag == "!!null") {
		d.report("RW1008", d.at(1, 1), "", fault{message: "the file says nothing", hint: "ropeway init writes one to start from"})
		return nil
	}
	if err != nil {
		d.syntax(err)
		return nil
	}
	switch err := loader.Load(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(err)
	default:
		d.report("RW1004", d.node(&second), "", fault{message: "a second document begins", hint: "one file holds one fabric: remove it, or keep it in a file of its own"})
	}
	return first.Content[0]
}

// syntax reports what the YAML reader says.
func (d *decoder) syntax(err error) {
	at, message := d.at(1, 1), err.Error()
	var load *yaml.LoadError
	if errors.As(err, &load) {
		message = load.Message
		if load.Mark.Line > 0 {
			at = d.at(load.Mark.Line, max(load.Mark.Column, 1))
		}
	}
	f := fault{message: "not YAML: " + strings.Trim(diag.Quote(message), `"`), hint: "check indentation, brackets and quotes on this line and the one before"}
	if strings.Contains(message, "max depth") {
		d.report("RW1002", at, "", fault{message: fmt.Sprintf("the file nests deeper than %d levels", maxDepth), hint: "no fabric file does"})
		return
	}
	d.report("RW1001", at, "", f)
}

// readable reports every character that has no business in a text file: a person would not see it, or would see something else. It
// returns false where the rest makes no sense any more.
func (d *decoder) readable(data []byte) bool {
	line, column := 1, 0
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		data = data[size:]
		column++
		switch {
		case r == '\n':
			line, column = line+1, 0
		case r == utf8.RuneError && size == 1:
			d.report("RW1003", d.at(line, column), "", fault{message: "the text is not UTF-8", hint: "save the file as UTF-8"})
			return false
		case invisible(r) && !(r == '\ufeff' && line == 1 && column == 1):
			d.report("RW1003", d.at(line, column), "", fault{message: fmt.Sprintf("character U+%04X cannot be seen, or hides what is there", r), hint: "delete it"})
			if unicode.Is(unicode.Cc, r) { // YAML has no use for it either
				return false
			}
		}
	}
	return true
}

// invisible reports control characters and those that reorder or join what surrounds them (Unicode categories Cc and Cf, line and
// paragraph separators).
func invisible(r rune) bool {
	return r != '\t' && r != '\r' && (unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029')
}

// refuseFeatures reports anchors, aliases, merge keys and tags wherever they are: what a file says should be there to read.
func (d *decoder) refuseFeatures(n *yaml.Node) {
	var what string
	switch {
	case n.Kind == yaml.AliasNode:
		what = "an alias"
	case n.Anchor != "":
		what = "an anchor"
	case n.Tag == "!!merge":
		what = "a merge key"
	case n.Style&yaml.TaggedStyle != 0:
		what = "a tag"
	}
	if what != "" {
		d.report("RW1004", d.node(n), "", fault{message: "YAML's " + strings.TrimPrefix(strings.TrimPrefix(what, "an "), "a ") + " is not used in fabric files", hint: "write the text out"})
	}
	if n.Kind == yaml.AliasNode {
		return
	}
	for _, c := range n.Content {
		d.refuseFeatures(c)
	}
}
