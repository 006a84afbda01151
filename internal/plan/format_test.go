package plan

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Whatever a plan can say has a format that it came with. A gateway refuses what it does not know, so a new field is a new format, or gateways that are
// a version older are cut off from every change.
func TestEverythingHasAFormat(t *testing.T) {
	text, err := os.ReadFile("testdata/formats.txt")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for line := range strings.Lines(string(text)) {
		var format int
		var path string
		if _, err := fmt.Sscanf(line, "%d %s", &format, &path); err != nil || format < 1 || format > Format {
			t.Errorf("testdata/formats.txt: %q has no format from 1 to %d", line, Format)
		}
		listed = append(listed, path)
	}
	said := fieldsOf("", reflect.TypeFor[Gateway]())
	for _, path := range said {
		if !slices.Contains(listed, path) {
			t.Errorf("%s is new: raise Format, have FormatOf say where it is used, leave it out where it is not, and list it in testdata/formats.txt", path)
		}
	}
	for _, path := range listed {
		if !slices.Contains(said, path) {
			t.Errorf("%s is gone, or has another name: gateways that are a version older look for it", path)
		}
	}
}

// fieldsOf returns every field of JSON that a type has.
func fieldsOf(under string, of reflect.Type) (out []string) {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		if of.Kind() == reflect.Slice {
			under += "[]"
		}
		of = of.Elem()
	}
	switch {
	case of.Implements(reflect.TypeFor[json.Marshaler]()), of.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return []string{under + ":text"}
	case of.Kind() != reflect.Struct:
		return []string{under + ":" + of.Kind().String()}
	}
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		out = append(out, fieldsOf(under+"."+name, of.Field(i).Type)...)
	}
	return out
}

// What comes from a later version is refused for that, and not for the first thing in it that is not known. What is damaged is not taken for it.
func TestALaterFormat(t *testing.T) {
	good, err := Encode("acme", sample())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(good, []byte(`"format"`)) {
		t.Error("the first format is numbered: those who know no numbers refuse it")
	}
	change := func(pairs ...string) []byte { return []byte(strings.NewReplacer(pairs...).Replace(string(good))) }
	const later = `"kind": "GatewayPlan", "format": 3,`
	for what, text := range map[string][]byte{
		"a new field":    change(`"kind": "GatewayPlan",`, later, `"mtu": 1440`, `"mtu": 1440, "color": "red"`),
		"a new word":     change(`"kind": "GatewayPlan",`, later, `"direction": "out"`, `"direction": "sideways"`),
		"nothing in it":  change(`"kind": "GatewayPlan",`, later),
		"another number": change(`"kind": "GatewayPlan",`, `"kind": "GatewayPlan", "format": 4294967295,`),
	} {
		if _, err := Decode(text); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, text := range map[string][]byte{
		"an unknown field of this format": change(`"mtu": 1440`, `"mtu": 1440, "color": "red"`),
		"a number that is none":           change(`"kind": "GatewayPlan",`, `"kind": "GatewayPlan", "format": -2,`),
		"a plan that was cut":             good[:len(good)/2],
		"nothing":                         nil,
	} {
		if _, err := Decode(text); err == nil || errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
