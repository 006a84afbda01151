package scope_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"ropeway/internal/intent"
	"ropeway/internal/scope"
)

const file = `apiVersion: ropeway/v1
kind: Fabric
metadata: {name: acme}
spec:
  topology: {mode: hybrid, hubs: [use1]}
  regions:
    - name: use1
      prefixes: [10.10.0.0/16]
      gateways: [{name: use1-a, endpoint: 203.0.113.10}]
    - name: euw1
      prefixes: [10.20.0.0/16]
      gateways: [{name: euw1-a, endpoint: 203.0.113.20}]
    - name: apse1
      prefixes: [10.30.0.0/16]
      gateways: [{name: apse1-a, endpoint: 203.0.113.30}]
  sites:
    - name: hq
      prefixes: [192.168.0.0/16]
      gateways: [{name: hq-1, nat: true}]
  links: [{between: [euw1, hq]}, {between: [euw1, apse1]}]
  segments:
    - {name: both, prefixes: [10.20.1.0/24, 192.168.1.0/24]}
    - {name: mixed, prefixes: [10.20.2.0/24, 10.10.2.0/24]}
  access:
    - {from: region/use1, to: any}
    - {from: region/euw1, to: site/hq}
    - {from: segment/mixed, to: region/apse1, ports: [tcp/443]}
  tests:
    - {from: region/use1, to: site/hq, expect: reachable}
    - {from: site/hq, to: region/apse1, expect: denied}
`

func read(t *testing.T, text string) *intent.Fabric {
	t.Helper()
	in, problems := intent.Read("acme.yaml", []byte(text))
	if in == nil {
		t.Fatalf("%v\n%s", problems, text)
	}
	return in
}

// TestForeign changes one thing of the file at a time, as somebody who is bound to euw1 and hq.
func TestForeign(t *testing.T) {
	const none = ""
	for name, tt := range map[string]struct{ old, new, foreign string }{
		"nothing":                              {"", "", none},
		"a comment":                            {"kind: Fabric", "kind: Fabric # hello", none},
		"an endpoint of his":                   {"203.0.113.20", "203.0.113.21", none},
		"a gateway more of his":                {"gateways: [{name: hq-1, nat: true}]", "gateways: [{name: hq-1, nat: true}, {name: hq-2, nat: true}]", none},
		"his underlay":                         {"gateways: [{name: hq-1", "underlay: {mtu: 1400}\n      gateways: [{name: hq-1", none},
		"an access entry between his places":   {"    - {from: region/euw1, to: site/hq}\n", "    - {from: site/hq, to: region/euw1, ports: [icmp]}\n", none},
		"one before those of others":           {"  access:\n", "  access:\n    - {from: site/hq, to: region/euw1, ports: [icmp]}\n", none},
		"a link between his places":            {"{between: [euw1, hq]}, ", "", none},
		"a segment of his places":              {"10.20.1.0/24, ", "", none},
		"a test between his places":            {"  tests:\n", "  tests:\n    - {from: region/euw1, to: site/hq, expect: reachable}\n", none},
		"an endpoint of another's":             {"203.0.113.30", "203.0.113.31", "place apse1"},
		"a gateway more of another's":          {"gateways: [{name: use1-a", "gateways: [{name: use1-b, endpoint: 203.0.113.11}, {name: use1-a", "place use1"},
		"a prefix more for a place of his":     {"[192.168.0.0/16]", "[192.168.0.0/16, 8.8.8.0/24]", "place hq: its addresses"},
		"a prefix less for a place of his":     {"prefixes: [192.168.0.0/16]", "prefixes: [192.168.0.0/17]", "place hq: its addresses"},
		"his place a hub":                      {"hubs: [use1]", "hubs: [use1, euw1]", "place euw1: its addresses, or its part in the topology"},
		"another topology":                     {"{mode: hybrid, hubs: [use1]}", "{mode: mesh}", "topology"},
		"a new place":                          {"  sites:\n", "  sites:\n    - {name: lab, prefixes: [172.16.0.0/24], gateways: [{name: lab-1, nat: true}]}\n", "place lab, which is new"},
		"access from his place to another":     {"  access:\n", "  access:\n    - {from: site/hq, to: region/apse1}\n", "access entry from site/hq"},
		"access from another to his":           {"  access:\n", "  access:\n    - {from: region/apse1, to: site/hq}\n", "access entry from region/apse1"},
		"access of others":                     {"ports: [tcp/443]", "ports: [tcp/444]", "access entry from segment/mixed"},
		"access of others gone":                {"    - {from: segment/mixed, to: region/apse1, ports: [tcp/443]}\n", "", "the file leaves out: access entry"},
		"access of others in another order":    {"    - {from: region/use1, to: any}\n    - {from: region/euw1, to: site/hq}\n    - {from: segment/mixed, to: region/apse1, ports: [tcp/443]}\n", "    - {from: segment/mixed, to: region/apse1, ports: [tcp/443]}\n    - {from: region/euw1, to: site/hq}\n    - {from: region/use1, to: any}\n", "access entry from segment/mixed"},
		"his addresses in a segment of others": {"[10.20.2.0/24, 10.10.2.0/24]", "[10.20.0.0/16, 10.10.2.0/24]", "segment mixed"},
		"a segment that hides another's":       {"[10.20.1.0/24, 192.168.1.0/24]", "[10.20.1.0/24, 10.30.1.0/24]", "segment both"},
		"a link to another's place":            {"{between: [euw1, hq]}, ", "{between: [euw1, hq]}, {between: [hq, apse1]}, ", "link apse1 hq"},
		"a link of another's gone":             {", {between: [euw1, apse1]}", "", "the file leaves out: link"},
		"a test of another's gone":             {"    - {from: site/hq, to: region/apse1, expect: denied}\n", "", "the file leaves out: test"},
		"a test of another's turned":           {"expect: denied", "expect: reachable", "test from site/hq"},
		"addresses of links":                   {"  links:", "  addressing: {links: 100.65.0.0/16}\n  links:", "addressing"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(file, tt.old) {
				t.Fatalf("the file has no %s", tt.old)
			}
			after := read(t, strings.Replace(file, tt.old, tt.new, 1))
			got := strings.Join(scope.Foreign(read(t, file), after, []string{"euw1", "hq"}), "; ")
			if (tt.foreign == none) != (got == "") || !strings.Contains(got, tt.foreign) {
				t.Errorf("foreign is %q, want something with %q", got, tt.foreign)
			}
			everything := []string{"use1", "euw1", "apse1", "hq", "lab"}
			if tt.foreign == none && len(scope.Foreign(read(t, file), after, everything)) > 0 {
				t.Error("it is foreign to whoever has every place")
			}
			if tt.new != "" && tt.old != "" && !strings.HasPrefix(name, "a comment") && scope.Foreign(read(t, file), after, nil) == nil {
				t.Error("it is somebody's who has no place")
			}
		})
	}
}

// What a router of a place is told is the place's own; marks of its prefixes are told to routers of others.
func TestForeignToSpeakers(t *testing.T) {
	const speaking = `apiVersion: ropeway/v1
kind: Fabric
metadata: {name: acme}
spec:
  topology: {mode: mesh}
  routing: {mode: bgp}
  regions:
    - name: use1
      communities: [64512:1]
      prefixes: [10.10.0.0/16]
      gateways: [{name: use1-a, endpoint: 203.0.113.10}]
      neighbors: [{name: vpc, address: 10.10.0.2, asn: 64600, announce: {communities: [64512:2], prepend: 1}}]
    - {name: euw1, prefixes: [10.20.0.0/16], gateways: [{name: euw1-a, endpoint: 203.0.113.20}]}
  access: [{from: any, to: any}]
`
	for _, tt := range []struct{ old, new, place, foreign string }{
		{"64512:2", "64512:3", "use1", ""},
		{"64512:2", "64512:3", "euw1", "place use1"},
		{"prepend: 1", "prepend: 2", "euw1", "place use1"},
		{"prepend: 1", "noExport: true", "euw1", "place use1"},
		{"64512:1", "64512:9", "use1", "place use1"},
	} {
		after := read(t, strings.Replace(speaking, tt.old, tt.new, 1))
		got := strings.Join(scope.Foreign(read(t, speaking), after, []string{tt.place}), "; ")
		if (tt.foreign == "") != (got == "") || !strings.Contains(got, tt.foreign) {
			t.Errorf("%s for %s by %s: foreign is %q, want something with %q", tt.new, tt.old, tt.place, got, tt.foreign)
		}
	}
}

// What is only in the old file is not told to one who sends another.
func TestWhatIsLeftOutIsNotNamed(t *testing.T) {
	small := file[:strings.Index(file, "  segments:")] + "  access: [{from: any, to: any}]\n"
	small = strings.Replace(small, "    - name: apse1\n      prefixes: [10.30.0.0/16]\n      gateways: [{name: apse1-a, endpoint: 203.0.113.30}]\n", "", 1)
	small = strings.Replace(small, ", {between: [euw1, apse1]}", "", 1)
	got := strings.Join(scope.Foreign(read(t, file), read(t, small), []string{"hq"}), "; ")
	for _, secret := range []string{"apse1", "10.30", "mixed", "443"} {
		if strings.Contains(got, secret) {
			t.Errorf("it names %s: %s", secret, got)
		}
	}
	if !strings.Contains(got, "the file leaves out: place") {
		t.Error(got)
	}
}

func TestTheFirstFile(t *testing.T) {
	if got := scope.Foreign(nil, read(t, file), []string{"use1", "euw1", "apse1", "hq"}); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// Whoever adds a field to what a file means has to decide here whose it is.
func TestEveryFieldIsSomebodys(t *testing.T) {
	for _, tt := range []struct {
		of    any
		known string
	}{
		{intent.Fabric{}, "Name Topology Routing Pools Places Segments Links Access Tests"},
		{intent.Pools{}, "Links4 Links6 Devices"},
		{intent.Place{}, "Name Kind Provider UnderlayMTU Prefixes Gateways Communities Hub Hubs Ranked ASN Routers TakeOver Position"},
		{intent.Router{}, "Name Address ASN Accept Password Announce Position"},
		{intent.Announcement{}, "Communities Prepend NoExport"},
		{intent.Gateway{}, "Name Place Zone Endpoint Port NAT Address Cores Position"},
		{intent.Segment{}, "Name Prefixes Position"},
		{intent.Link{}, "A B UnderlayMTU Tunnels Path Position"},
		{intent.Selector{}, "Text Prefixes"},
		{intent.Access{}, "From To Services Position"},
		{intent.Test{}, "From To Service Expect Symmetric MTU Position"},
	} {
		typ := reflect.TypeOf(tt.of)
		var names []string
		for i := range typ.NumField() {
			names = append(names, typ.Field(i).Name)
		}
		if !slices.Equal(names, strings.Fields(tt.known)) {
			t.Errorf("%s has the fields %s: say in scope.go whose a new one is", typ, names)
		}
	}
}
