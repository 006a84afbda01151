package plan

import (
	"net/netip"
	"strings"
	"testing"

	"ropeway/internal/fabric"
)

func community(s string) fabric.Community {
	c, err := fabric.ParseCommunity(s)
	if err != nil {
		panic(err)
	}
	return c
}

// speaker returns a BGP in which everything is set.
func speaker() *BGP {
	own := []netip.Prefix{netip.MustParsePrefix("10.10.0.0/16")}
	addr := netip.MustParseAddr
	return &BGP{
		Daemon: fabric.FRR, ASN: 4200000001, RouterID: addr("100.64.0.1"), Sources: []netip.Addr{addr("100.64.0.1")}, Own: own, Tags: []uint32{1}, MaxPaths: 2,
		Communities: []fabric.Community{community("64512:1")},
		Neighbors: []*Neighbor{{
			Name: "euw1-a", Device: "rw0", Address: addr("100.64.255.1"), Local: addr("100.64.255.0"), ASN: 4200000002, Tell: TellAll, Spoke: true,
			Tags: []uint32{2}, Accept: own, MaxHops: 1, MaxPrefixes: 10, Prefer: []Preference{{Hops: 1, Tag: 1, LocalPreference: 90, Metric: 3}, {Tag: 2}, {Hops: 2}, {Metric: 1}},
			BFD: &BFD{Interval: 300, Multiplier: 3}, Password: "secret-of-euw1",
		}, {
			Name: "vpc", Address: addr("10.10.0.2"), ASN: 64512, Tell: TellLearnt, MaxHops: 1, MaxPrefixes: 10,
			Announce: &Announce{Communities: []fabric.Community{community("64512:2"), community("4200000001:1:2")}, Prepend: 2, NoExport: true},
		}},
		Table: &Table{
			Siblings: []Sibling{{Name: "use1-b", Address: addr("10.10.0.12"), Local: addr("10.10.0.11"), BFD: BFD{Interval: 300, Multiplier: 3}}},
			Routes:   []*RouterRoute{{To: "euw1", Gateway: "use1-a", Then: []string{"use1-b"}, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")}}},
		},
	}
}

// Of the gateways of a route the first that is there holds it.
func TestHolder(t *testing.T) {
	r := &RouterRoute{Gateway: "a", Then: []string{"b", "c"}}
	for gone, want := range map[string]string{"": "a", "b": "a", "a": "b", "ab": "c", "abc": ""} {
		if got := r.Holder(func(g string) bool { return !strings.Contains(gone, g) }); got != want {
			t.Errorf("without %q %q holds it, want %q", gone, got, want)
		}
	}
}

// A plan is input like any other: what could not be, or could break out of a daemon's configuration, is refused.
func TestSpeakersAreValidated(t *testing.T) {
	good := sample()
	good.BGP = speaker()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(b *BGP, n *Neighbor){
		"daemon":        func(b *BGP, _ *Neighbor) { b.Daemon = "quagga" },
		"AS number":     func(b *BGP, _ *Neighbor) { b.ASN = 0 },
		"router ID":     func(b *BGP, _ *Neighbor) { b.RouterID = netip.MustParseAddr("2001:db8::1") },
		"paths":         func(b *BGP, _ *Neighbor) { b.MaxPaths = 0 },
		"own":           func(b *BGP, _ *Neighbor) { b.Own = []netip.Prefix{netip.MustParsePrefix("10.10.0.1/16")} },
		"source":        func(b *BGP, _ *Neighbor) { b.Sources = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")} },
		"sibling":       func(b *BGP, _ *Neighbor) { b.Table.Siblings[0].Name = "a; b" },
		"sibling twice": func(b *BGP, _ *Neighbor) { b.Table.Siblings = append(b.Table.Siblings, b.Table.Siblings[0]) },
		"families":      func(b *BGP, _ *Neighbor) { b.Table.Siblings[0].Local = netip.MustParseAddr("2001:db8::1") },
		"watch":         func(b *BGP, _ *Neighbor) { b.Table.Siblings[0].BFD.Interval = 1 },
		"holder":        func(b *BGP, _ *Neighbor) { b.Table.Routes[0].Then = []string{"--"} },
		"table prefix": func(b *BGP, _ *Neighbor) {
			b.Table.Routes[0].Prefixes = []netip.Prefix{netip.MustParsePrefix("10.20.0.1/16")}
		},
		"twice":          func(b *BGP, n *Neighbor) { b.Neighbors = append(b.Neighbors, n) },
		"nothing":        func(b *BGP, _ *Neighbor) { b.Neighbors = append(b.Neighbors, nil) },
		"name":           func(_ *BGP, n *Neighbor) { n.Name = "a\nb" },
		"address":        func(_ *BGP, n *Neighbor) { n.Address = netip.MustParseAddr("fe80::1%x") },
		"no address":     func(_ *BGP, n *Neighbor) { n.Address = netip.Addr{} },
		"other families": func(_ *BGP, n *Neighbor) { n.Local = netip.MustParseAddr("2001:db8::1") },
		"device":         func(_ *BGP, n *Neighbor) { n.Device = "rw9" },
		"neighbor's AS":  func(_ *BGP, n *Neighbor) { n.ASN = 0 },
		"hops":           func(_ *BGP, n *Neighbor) { n.MaxHops = 0 },
		"prefixes":       func(_ *BGP, n *Neighbor) { n.MaxPrefixes = -1 },
		"tell":           func(_ *BGP, n *Neighbor) { n.Tell = "everything" },
		"password":       func(_ *BGP, n *Neighbor) { n.Password = "../key" },
		"interval":       func(_ *BGP, n *Neighbor) { n.BFD.Interval = 1 },
		"multiplier":     func(_ *BGP, n *Neighbor) { n.BFD.Multiplier = 0 },
		"no community":   func(b *BGP, _ *Neighbor) { b.Communities = []fabric.Community{{}} },
		"an order":       func(b *BGP, _ *Neighbor) { b.Communities = []fabric.Community{community("65535:0")} },
		"our own":        func(b *BGP, _ *Neighbor) { b.Neighbors[1].Announce.Communities[1] = community("114:1:1") },
		"prepend":        func(b *BGP, _ *Neighbor) { b.Neighbors[1].Announce.Prepend = 11 },
		"announce":       func(_ *BGP, n *Neighbor) { n.Announce = &Announce{NoExport: true} },
		"accept":         func(_ *BGP, n *Neighbor) { n.Accept = []netip.Prefix{{}} },
	} {
		bad := sample()
		bad.BGP = speaker()
		spoil(bad.BGP, bad.BGP.Neighbors[0])
		if err := bad.Validate(); err == nil || !strings.HasPrefix(err.Error(), "bgp: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A plan with BGP is of the second format, and one without it is what it always was.
func TestTheFormatOfASpeaker(t *testing.T) {
	g := sample()
	if f := FormatOf(g); f != 1 {
		t.Errorf("a static plan has format %d", f)
	}
	g.BGP = speaker()
	text, err := Encode("acme", g)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"format": 2,`) {
		t.Error("a plan with BGP does not say that it is of format 2")
	}
	if _, err := Decode(text); err != nil {
		t.Error(err)
	}
}

// Answers to flows that another gateway saw opened are of the second format, are told where a plan is compared, and name directions that there are.
func TestAnswersToFlowsOpenedElsewhere(t *testing.T) {
	g, was := sample(), sample()
	g.Firewall.Answers = []Direction{Out, In}
	text, err := Encode("acme", g)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := Decode(text)
	if err != nil || doc.Format != 2 || !Same(&doc.Gateway, g) {
		t.Errorf("came back as %+v, %v", doc, err)
	}
	changes := Compare(&Fabric{Gateways: []*Gateway{was}}, &Fabric{Gateways: []*Gateway{g}}).Gateways[0].Changes
	if want := (Change{Add, "firewall: answers to flows opened elsewhere", "out, in"}); len(changes) != 1 || changes[0] != want {
		t.Errorf("the difference is %v, want %v", changes, want)
	}
	for _, bad := range [][]Direction{{"sideways"}, {In, In}, {""}} {
		if g.Firewall.Answers = bad; g.Validate() == nil {
			t.Errorf("%q is valid", bad)
		}
	}
}
