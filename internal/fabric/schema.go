package fabric

import (
	"encoding/json"
	"reflect"
	"strings"
)

// Schema returns the JSON Schema (2020-12) of the fabric file, for editors. It is made of the same types and rules as the parser, so it
// knows the same keys; what takes more than one place of the file to judge, only reading it judges.
func Schema() []byte {
	b := schemaBuilder{newShapes(), map[string]any{}}
	root := b.object(reflect.TypeFor[File]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "urn:ropeway:v1:fabric"
	root["title"] = "Ropeway fabric file"
	root["$defs"] = b.defs
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil { // maps and strings always encode
		panic("fabric: " + err.Error())
	}
	return append(out, '\n')
}

type schemaBuilder struct {
	shapes shapes
	defs   map[string]any
}

// object returns the schema of a mapping.
func (b schemaBuilder) object(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range b.shapes.fields(t) {
		s := b.of(t.Field(f.index).Type, f)
		s["description"] = f.doc
		properties[f.key] = s
		if f.required {
			required = append(required, f.key)
		}
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties, "required": required}
}

// of returns the schema of the value of a field.
func (b schemaBuilder) of(t reflect.Type, f field) map[string]any {
	switch t {
	case reflect.TypeFor[Text]():
		return f.rule.text()
	case reflect.TypeFor[Number]():
		return map[string]any{"type": "integer", "minimum": f.rule.min, "maximum": f.rule.max}
	case reflect.TypeFor[Flag]():
		return map[string]any{"type": "boolean"}
	}
	if t.Kind() == reflect.Slice {
		return b.list(t, f)
	}
	return b.reference(t)
}

func (b schemaBuilder) list(t reflect.Type, f field) map[string]any {
	entry := b.of(t.Elem(), f)
	list := map[string]any{"type": "array", "items": entry}
	if f.least > 0 {
		list["minItems"] = f.least
	}
	if f.most > 0 {
		list["maxItems"] = f.most
	}
	if f.one {
		return map[string]any{"anyOf": []any{entry, list}}
	}
	return list
}

// reference returns a reference to the schema of a mapping, and sees that it is defined.
func (b schemaBuilder) reference(t reflect.Type) map[string]any {
	name := strings.ToLower(t.Name())
	if _, ok := b.defs[name]; !ok {
		b.defs[name] = nil // it may refer to itself
		b.defs[name] = b.object(t)
	}
	return map[string]any{"$ref": "#/$defs/" + name}
}

// text returns the schema of a scalar.
func (r rule) text() map[string]any {
	s := map[string]any{"type": "string"}
	for k, v := range r.schema {
		s[k] = v
	}
	if r.oneOf != nil {
		s["enum"] = r.oneOf
	}
	return s
}
