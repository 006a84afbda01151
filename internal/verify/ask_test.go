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
			m.prepare(in)
			var arrive, die int
			for a := range m.world.space.all() {
				for b := range m.world.space.all() {
					src, dst := a.start, b.start
					for _, s := range askable(m) {
						if src.Is4() != dst.Is4() {
							if m.Ask(in, Packet{Source: src, Destination: dst, Service: s}).Arrives {
								t.Fatalf("%s → %s arrives, and there is no such packet", src, dst)
							}
						} else if compareAsk(t, m, in, Packet{Source: src, Destination: dst, Service: s}) {
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

func compareAsk(t *testing.T, m *Model, in *intent.Fabric, p Packet) bool {
	t.Helper()
	got, want := m.Ask(in, p), m.Trace(p, true)
	arrives := want.Forward.DroppedBy == nil && len(want.Forward.Gateways) > 0
	if got.Arrives != arrives {
		t.Fatalf("%v: Ask says arrives=%v, Trace %+v", p, got.Arrives, want.Forward)
	}
	if !arrives {
		return false
	}
	if !slices.Equal(got.Forward, want.Forward.Gateways) || got.MTU != want.Forward.MTU {
		t.Fatalf("%v: Ask goes by %v, MTU %d; Trace by %v, MTU %d", p, got.Forward, got.MTU, want.Forward.Gateways, want.Forward.MTU)
	}
	if answered := want.Return.DroppedBy == nil; got.Answered != answered || answered && !slices.Equal(got.Return, want.Return.Gateways) {
		t.Fatalf("%v: Ask says answered=%v by %v, Trace %+v", p, got.Answered, got.Return, want.Return)
	}
	return true
}

func TestAskOfNobodysAddress(t *testing.T) {
	in, p := bigMesh(3), netip.MustParseAddr
	out, _ := compile.Compile(in, nil)
	m := New(out, Facts{})
	ping := fabric.Service{Protocol: fabric.ICMP}
	for _, packet := range []Packet{
		{Source: p("192.0.2.1"), Destination: p("10.0.0.1"), Service: ping},
		{Source: p("10.0.0.1"), Destination: p("192.0.2.1"), Service: ping},
		{Source: p("10.0.0.1"), Destination: p("10.0.1.1"), Service: ping}, // the same place
		{Source: p("10.0.0.1"), Destination: p("2001:db8::1"), Service: ping},
	} {
		if a := m.Ask(in, packet); a.Arrives {
			t.Errorf("%v arrives by %v", packet, a.Forward)
		}
	}
}
