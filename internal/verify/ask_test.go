package verify

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ropeway/internal/compile"
	"ropeway/internal/fabric"
	"ropeway/internal/intent"
)

// Ask, which reads classes, says the same as Trace, which reads the plan's lists: for every pair of atoms of the examples, and a
// service out of every range.
func TestAskAgreesWithTrace(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, problems := intent.Read(file, data)
			if in == nil {
				t.Fatal(problems)
			}
			p, _ := compile.Compile(in, nil)
			m := New(p, Facts{})
			ask := m.Asker(in)
			var arrive, die int
			for a := range m.world.space.all() {
				for b := range m.world.space.all() {
					src, dst := a.start, b.start
					for _, s := range askable(m) {
						if src.Is4() != dst.Is4() {
							if ask.Between(ask.Class(src), ask.Class(dst)); ask.Arrives(ask.Kind(s)) {
								t.Fatalf("%s → %s arrives, and there is no such packet", src, dst)
							}
						} else if compareAsk(t, m, ask, Packet{Source: src, Destination: dst, Service: s}) {
							arrive++
						} else {
							die++
						}
					}
				}
			}
			if arrive == 0 || die == 0 {
				t.Errorf("%d packets arrive and %d die: the comparison says little", arrive, die)
			}
		})
	}
}

// askable returns an example of every range that a packet can name.
func askable(m *Model) (out []fabric.Service) {
	for i, r := range m.world.services.ranges {
		if r.Protocol != "" {
			out = append(out, m.world.services.witness(i))
		}
	}
	return out
}

func compareAsk(t *testing.T, m *Model, ask *Asker, p Packet) bool {
	t.Helper()
	ask.Between(ask.Class(p.Source), ask.Class(p.Destination))
	kind, want := ask.Kind(p.Service), m.Trace(p, true)
	arrives := want.Forward.DroppedBy == nil && len(want.Forward.Gateways) > 0
	if ask.Arrives(kind) != arrives {
		t.Fatalf("%v: it arrives: %v, and Trace says %+v", p, !arrives, want.Forward)
	}
	if !arrives {
		return false
	}
	if way, mtu := ask.Forward(); !slices.Equal(way, want.Forward.Gateways) || mtu != want.Forward.MTU {
		t.Fatalf("%v goes by %v, MTU %d; Trace by %v, MTU %d", p, way, mtu, want.Forward.Gateways, want.Forward.MTU)
	}
	way, _ := ask.Return()
	if answered := want.Return.DroppedBy == nil; ask.Answered(kind) != answered || answered && !slices.Equal(way, want.Return.Gateways) {
		t.Fatalf("%v is answered: %v, by %v, and Trace says %+v", p, !answered, way, want.Return)
	}
	return true
}

func TestAskOfNobodysAddress(t *testing.T) {
	in, p := bigMesh(3), netip.MustParseAddr
	out, _ := compile.Compile(in, nil)
	m := New(out, Facts{})
	ask := m.Asker(in)
	ping := fabric.Service{Protocol: fabric.ICMP}
	for _, packet := range []Packet{
		{Source: p("192.0.2.1"), Destination: p("10.0.0.1"), Service: ping},
		{Source: p("10.0.0.1"), Destination: p("192.0.2.1"), Service: ping},
		{Source: p("10.0.0.1"), Destination: p("10.0.1.1"), Service: ping}, // the same place
		{Source: p("10.0.0.1"), Destination: p("2001:db8::1"), Service: ping},
	} {
		if ask.Between(ask.Class(packet.Source), ask.Class(packet.Destination)); ask.Arrives(ask.Kind(ping)) {
			t.Errorf("%v arrives", packet)
		}
	}
}
