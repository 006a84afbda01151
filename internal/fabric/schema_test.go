package fabric_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"ropeway/internal/fabric"
)

// whole is a document with every object and every key of the format.
const whole = `
apiVersion: ropeway/v1
kind: Fabric
metadata: {name: whole}
spec:
  topology: {mode: hybrid, hubs: [use1]}
  routing: {mode: bgp, daemon: bird, bfd: {interval: 300ms, multiplier: 3}, tunnels: 2}
  addressing: {links: [100.64.0.0/16, "fd00::/64"], devices: 10.200.0.0/16}
  regions:
    - name: use1
      provider: aws
      underlay: {mtu: 1500}
      prefixes: [10.10.0.0/16]
      gateways: [{name: use1-a, zone: us-east-1a, endpoint: 203.0.113.10, port: 51820, nat: false, cores: 8, address: 10.10.0.11}]
      asn: 64601
      communities: [64601:1, 64601:1:2]
      takeOver: false
      neighbors: [{name: vpc, address: 10.10.0.2, asn: 64512, accept: [10.10.8.0/24], password: vpc, announce: {communities: [64601:3], prepend: 2, noExport: true}}]
  sites:
    - {name: hq, hubs: [use1], prefixes: [192.168.0.0/16], gateways: [{name: hq-1}]}
  segments: [{name: prod, prefixes: [10.10.0.0/17]}]
  links: [{between: [hq, use1], underlay: {mtu: 1400}, tunnels: 4, path: avoid}]
  access: [{from: site/hq, to: segment/prod, ports: [tcp/443, udp/1-2, icmp]}]
  tests: [{from: site/hq, to: "10.10.0.1:443/tcp", expect: reachable, symmetric: true, mtu: 1300}]
`

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(fabric.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("fabric.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("fabric.json") // checks it against the meta-schema, too
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON turns YAML into what a JSON Schema judges.
func asJSON(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := yaml.Load(data, &v); err != nil {
		t.Fatal(err)
	}
	return rejson(t, v)
}

func rejson(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestSchemaAcceptsEverythingThatTheParserAccepts(t *testing.T) {
	s := schema(t)
	files := map[string][]byte{"starter": fabric.Starter(), "whole": []byte(whole)}
	examples, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(examples) < 3 {
		t.Fatalf("want the examples: %v, %v", examples, err)
	}
	for _, path := range examples {
		if files[path], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	stories, err := filepath.Glob("../intent/testdata/bad/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("want the stories: %v", err)
	}
	for _, path := range stories {
		story, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = story.Files[0].Data
	}
	accepted := 0
	for name, data := range files {
		_, problems := fabric.Parse(name, data)
		if problems.Failed() {
			if !strings.Contains(name, "testdata") {
				t.Error(problems)
			}
			continue
		}
		accepted++
		if err := s.Validate(asJSON(t, data)); err != nil {
			t.Errorf("%s: the parser accepts it, the schema does not: %v", name, err)
		}
	}
	if accepted < 20 {
		t.Errorf("only %d files were accepted: this proves little", accepted)
	}
}

// TestSchemaAndParserKnowTheSameKeys changes one key of the whole document at a time and compares the verdicts.
func TestSchemaAndParserKnowTheSameKeys(t *testing.T) {
	s := schema(t)
	judge := func(what string, doc any, wantOK bool) {
		t.Helper()
		text, err := yaml.Dump(doc)
		if err != nil {
			t.Fatal(err)
		}
		_, problems := fabric.Parse("whole", text)
		invalid := s.Validate(rejson(t, doc))
		if problems.Failed() == wantOK || (invalid != nil) == wantOK {
			t.Errorf("%s: want ok %v; parser: %v; schema: %v", what, wantOK, problems, invalid)
		}
	}
	fresh := func() any {
		var v any
		if err := yaml.Load([]byte(whole), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	judge("whole", fresh(), true)
	objects := walk(fresh())
	seen := map[string]bool{}
	for i, object := range objects {
		for _, key := range slices.Sorted(maps.Keys(object)) {
			doc := fresh()
			again := walk(doc)
			seen[key] = true
			value := again[i][key]
			again[i][key+"x"] = 1
			judge("an unknown key "+key+"x", doc, false)
			delete(again[i], key+"x")
			again[i][key] = nil
			judge(key+" without a value", doc, false)
			delete(again[i], key)
			_, problems := fabric.Parse("whole", mustDump(t, doc))
			judge(key+" left out", doc, !problems.Failed())
			again[i][key] = value
		}
	}
	var known any
	if err := json.Unmarshal(fabric.Schema(), &known); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(properties(known))), slices.Sorted(maps.Keys(seen))); diff != "" {
		t.Errorf("the whole document does not show every key (-schema +document):\n%s", diff)
	}
}

func mustDump(t *testing.T, v any) []byte {
	t.Helper()
	text, err := yaml.Dump(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// walk returns every object in v, in a fixed order.
func walk(v any) []map[string]any {
	var all []map[string]any
	switch v := v.(type) {
	case map[string]any:
		all = append(all, v)
		for _, k := range slices.Sorted(maps.Keys(v)) {
			below := walk(v[k])
			all = append(all, below...)
		}
	case []any:
		for _, e := range v {
			below := walk(e)
			all = append(all, below...)
		}
	}
	return all
}

// properties returns every key that a schema knows.
func properties(v any) map[string]bool {
	keys := map[string]bool{}
	switch v := v.(type) {
	case map[string]any:
		if p, ok := v["properties"].(map[string]any); ok {
			for k := range p {
				keys[k] = true
			}
		}
		for _, below := range v {
			maps.Copy(keys, properties(below))
		}
	case []any:
		for _, below := range v {
			maps.Copy(keys, properties(below))
		}
	}
	return keys
}
