package verify

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"ropeway/internal/compile"
	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

var update = flag.Bool("update", false, "write what the proof says into the stories")

// TestStories compiles the fabric.yaml of each story, changes the plan or the world as its "change" says, a line each, and compares the proof
// with "report", and the walks of packets with the files that "trace SOURCE DESTINATION SERVICE [SIZE]" name.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { tell(t, file) })
	}
}

func tell(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	in, problems := intent.Read("fabric.yaml", section(archive, "fabric.yaml"))
	if in == nil {
		t.Fatal(problems)
	}
	compiled, _ := compile.Compile(in, nil)
	p := clone(t, compiled)
	var facts Facts
	for line := range strings.Lines(string(section(archive, "change"))) {
		if err := carry(p, &facts, strings.Fields(line)); err != nil {
			t.Fatalf("%s: %v", strings.TrimSpace(line), err)
		}
	}
	m := New(p, facts)
	for i, f := range archive.Files {
		var got string
		words := strings.Fields(f.Name)
		switch words[0] {
		case "report":
			got = reportText(m.Check(in))
		case "trace":
			got = traceText(t, m, words[1:])
		case "failures":
			got = failuresText(Failures(p, facts, in))
		default:
			continue
		}
		if *update {
			archive.Files[i].Data = []byte(got)
		} else if diff := cmp.Diff(string(f.Data), got); diff != "" {
			t.Errorf("%s (-story +proof):\n%s", f.Name, diff)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func section(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// carry carries out one line of a change.
func carry(p *plan.Fabric, facts *Facts, w []string) error {
	if len(w) == 0 || strings.HasPrefix(w[0], "#") {
		return nil
	}
	w = append(w, "", "", "", "")
	switch w[0] {
	case "down":
		facts.Down = append(facts.Down, w[1])
		return nil
	case "cut":
		facts.Cut = append(facts.Cut, Link{w[1], w[2]})
		return nil
	case "drain":
		facts.Drained = append(facts.Drained, w[1])
		return nil
	case "no-icmp":
		facts.NoICMP = true
		return nil
	case "underlay": // A MTU, or A B MTU
		u := Underlay{A: w[1], B: w[2]}
		mtu := w[3]
		if mtu == "" {
			u.B, mtu = "", w[2]
		}
		var err error
		u.MTU, err = strconv.Atoi(mtu)
		facts.Underlay = append(facts.Underlay, u)
		return err
	case "router": // PLACE PREFIX GATEWAY
		return carryRouter(p, w)
	}
	g := p.Gateway(w[1])
	if g == nil {
		return fmt.Errorf("no gateway %s", w[1])
	}
	return carryGateway(g, w)
}

func carryRouter(p *plan.Fabric, w []string) error {
	x, err := netip.ParsePrefix(w[2])
	for _, place := range p.Places {
		if place.Name == w[1] {
			for _, r := range place.Routes {
				r.Prefixes = slices.DeleteFunc(r.Prefixes, func(y netip.Prefix) bool { return x == y })
			}
			if w[3] != "" {
				place.Routes = append(place.Routes, &plan.RouterRoute{Gateway: w[3], Prefixes: []netip.Prefix{x}})
			}
		}
	}
	return err
}

func carryGateway(g *plan.Gateway, w []string) error {
	d := &g.Devices[0] // with BGP only what is said of neighbours makes sense
	peer := func(name string) *plan.Peer {
		for _, q := range d.Peers {
			if q.Gateway == name {
				return q
			}
		}
		panic("no peer " + name)
	}
	switch w[0] {
	case "unpeer": // GATEWAY PEER
		d.Peers = slices.DeleteFunc(d.Peers, func(q *plan.Peer) bool { return q.Gateway == w[2] })
	case "endpoint": // GATEWAY PEER [ENDPOINT]
		e, err := fabric.ParseEndpoint(w[3])
		peer(w[2]).Endpoint = e
		return err
	case "keepalive": // GATEWAY PEER
		peer(w[2]).Keepalive = 0
	case "unrule": // GATEWAY ID DIRECTION
		g.Firewall.Rules = slices.DeleteFunc(slices.Clone(g.Firewall.Rules), func(r plan.Rule) bool {
			return strconv.Itoa(r.ID) == w[2] && string(r.Direction) == w[3]
		})
	case "answers": // GATEWAY: those to what another gateway saw pass
		g.Firewall.Answers = []plan.Direction{plan.Out, plan.In}
	case "rule": // GATEWAY DIRECTION: everything passes
		everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		g.Firewall.Rules = append(g.Firewall.Rules, plan.Rule{ID: 99, Direction: plan.Direction(w[2]), From: everything, To: everything})
	case "route", "allow": // GATEWAY PREFIX [PEER]: away from whoever has it, to the peer
		x, err := netip.ParsePrefix(w[2])
		if err != nil {
			return err
		}
		drop := func(list []netip.Prefix) []netip.Prefix {
			return slices.DeleteFunc(slices.Clone(list), func(y netip.Prefix) bool { return x == y })
		}
		if w[0] == "allow" {
			for _, q := range d.Peers {
				q.AllowedIPs = drop(q.AllowedIPs)
			}
			if w[3] != "" {
				peer(w[3]).AllowedIPs = append(peer(w[3]).AllowedIPs, x)
			}
			return nil
		}
		for _, r := range g.Routes {
			r.Prefixes = drop(r.Prefixes)
		}
		if w[3] != "" {
			g.Routes = append(g.Routes, &plan.Route{Device: d.Name, Peer: w[3], MTU: peer(w[3]).MTU, Prefixes: []netip.Prefix{x}})
		}
	case "silence": // GATEWAY NEIGHBOR: it has no session with it
		b := *g.BGP
		b.Neighbors = slices.DeleteFunc(slices.Clone(b.Neighbors), func(n *plan.Neighbor) bool { return n.Name == w[2] })
		g.BGP = &b
	case "announce": // GATEWAY PREFIX: as its place's
		x, err := netip.ParsePrefix(w[2])
		b := *g.BGP
		b.Own = append(slices.Clone(b.Own), x)
		g.BGP = &b
		return err
	case "equal": // GATEWAY: whatever it hears is worth the same
		for _, n := range g.BGP.Neighbors {
			n.Prefer = nil
		}
	case "mtu": // GATEWAY DEVICE MTU
		var err error
		g.Device(w[2]).MTU, err = strconv.Atoi(w[3])
		return err
	case "claim": // GATEWAY PREFIX PEER: the peer has it, too
		x, err := netip.ParsePrefix(w[2])
		peer(w[3]).AllowedIPs = append(peer(w[3]).AllowedIPs, x)
		return err
	default:
		return fmt.Errorf("unknown change %s", w[0])
	}
	return nil
}

func reportText(r *Report) string {
	var b strings.Builder
	for i, x := range r.Tests {
		mark := "ok  "
		if !x.OK {
			mark = "FAIL"
		}
		fmt.Fprintf(&b, "%s %d: %s → %s %s", mark, i+1, x.From, x.To, x.Expect)
		if x.Reason != "" {
			fmt.Fprintf(&b, ": %s", x.Reason)
		} else if x.Forward.DroppedBy == nil {
			fmt.Fprintf(&b, " by %s, MTU %d", strings.Join(x.Forward.Gateways, " "), x.Forward.MTU)
		}
		b.WriteString("\n")
	}
	for _, p := range r.Problems {
		p.Position.File = ""
		p.Position.Line = 0
		fmt.Fprintln(&b, p.Error())
	}
	fmt.Fprintf(&b, "proven: %v\n", r.OK)
	return b.String()
}

func traceText(t *testing.T, m *Model, w []string) string {
	t.Helper()
	p := Packet{Source: netip.MustParseAddr(w[0]), Destination: netip.MustParseAddr(w[1])}
	var err error
	if p.Service, err = fabric.ParseService(w[2]); err != nil {
		t.Fatal(err)
	}
	if len(w) > 3 {
		p.Size, _ = strconv.Atoi(w[3])
	}
	trace := m.Trace(p, true)
	var b bytes.Buffer
	for _, x := range []*Walk{&trace.Forward, trace.Return} {
		fmt.Fprintf(&b, "%s → %s, MTU %d\n", x.Source, x.Destination, x.MTU)
		for _, h := range x.Hops {
			fmt.Fprintf(&b, "  %s\n", h.At)
			for _, line := range []string{h.Route, h.Rule, h.Peer, h.Decision} {
				if line != "" {
					fmt.Fprintf(&b, "    %s\n", line)
				}
			}
		}
	}
	return b.String()
}

func failuresText(list []Failure) string {
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "%s: %s; tests %v\n", f.Lost, strings.Join(f.Broken, ", "), f.Tests)
	}
	return b.String()
}
