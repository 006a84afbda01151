package agent

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"ropeway/internal/diag"
	"ropeway/internal/identity"
	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// linked is a plan with a device per link, rw1 to rwN, whose keys are the one given.
func linked(t *testing.T, n int, own key.Public) *plan.Gateway {
	t.Helper()
	g := &plan.Gateway{Name: "a", Place: "east"}
	for i := 1; i <= n; i++ {
		far, err := key.NewPrivate()
		must(t, err)
		g.Devices = append(g.Devices, plan.Device{
			Name: fmt.Sprintf("rw%d", i), ListenPort: uint16(51820 + i), MTU: 1420, PublicKey: own,
			Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, byte(2 * i)}), 32)},
			Peers: []*plan.Peer{{Gateway: fmt.Sprintf("b%d", i), PublicKey: far.Public(), MTU: 1420, Underlay: 1500, Overhead: 80,
				AllowedIPs: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}},
		})
	}
	return g
}

// polled writes a plan where an agent with that state directory looks for it, and returns why the agent refuses it.
func polled(t *testing.T, state string, g *plan.Gateway) error {
	t.Helper()
	data, err := plan.Encode("test", g)
	must(t, err)
	s := &source{file: filepath.Join(t.TempDir(), "plan.json"), kept: filepath.Join(state, keptPlan), keyOf: ownKey(identity.In(state))}
	must(t, os.WriteFile(s.file, data, 0o600))
	_, _, refused := s.poll()
	return refused
}

// TestManyDevicesHaveOneKey follows a gateway with a device per link from its first plan, which leaves the keys open, to the next, which names
// them, and to one device with a key of its own.
func TestManyDevicesHaveOneKey(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	must(t, os.Mkdir(state, 0o700))
	keys := identity.In(state)
	if err := polled(t, state, linked(t, 3, key.Public{})); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(state, "keys", "*"))
	if err != nil || len(files) != 1 || files[0] != keys.Path(identity.Gateway) {
		t.Fatalf("three devices whose keys are open: %v %v, want one file for all", files, err)
	}
	common, err := keys.Load(identity.Gateway)
	must(t, err)
	named := linked(t, 3, common.Public())
	if err := polled(t, state, named); err != nil {
		t.Errorf("a plan that names the gateway's key for each device: %v", err)
	}
	m := &machine{keys: keys}
	for _, d := range named.Devices {
		if k, err := m.privateKeys(named)(d.Name); err != nil || !k.Equal(common) {
			t.Errorf("%s gets another key: %v", d.Name, err)
		}
	}

	own, err := keys.LoadOrMake("rw2")
	must(t, err)
	if err := polled(t, state, named); codeOf(err) != codePlanKey {
		t.Errorf("rw2 has a key of its own, and a plan with another was taken: %v", err)
	}
	if _, err := m.privateKeys(named)("rw2"); codeOf(err) != codePlanKey {
		t.Errorf("rw2 was given another key than the plan names: %v", err)
	}
	named.Devices[1].PublicKey = own.Public()
	if err := polled(t, state, named); err != nil {
		t.Errorf("a plan that names rw2's own key: %v", err)
	}
	if k, err := m.privateKeys(named)("rw2"); err != nil || !k.Equal(own) {
		t.Errorf("rw2 does not get its own key: %v", err)
	}
}

func TestPlansThatDoNotFitManyDevices(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	must(t, os.Mkdir(state, 0o700))
	common, err := identity.In(state).LoadOrMake(identity.Gateway)
	must(t, err)
	other, err := key.NewPrivate()
	must(t, err)
	for name, c := range map[string]struct {
		spoil func(g *plan.Gateway)
		want  diag.Code
	}{
		"one device is for another key":   {func(g *plan.Gateway) { g.Devices[2].PublicKey = other.Public() }, codePlanKey},
		"two devices have one port":       {func(g *plan.Gateway) { g.Devices[2].ListenPort = g.Devices[0].ListenPort }, codePlanConflict},
		"a peer has the gateway's key":    {func(g *plan.Gateway) { g.Devices[2].Peers[0].PublicKey = common.Public() }, codePlanConflict},
		"a device holds the private key":  {func(g *plan.Gateway) { g.Devices[2].PublicKey = key.PublicFromBytes(common.Reveal()) }, codeKeyExposed},
		"two links lead to one gateway":   {func(g *plan.Gateway) { g.Devices[2].Peers[0].PublicKey = g.Devices[0].Peers[0].PublicKey }, ""},
		"every link carries all prefixes": {func(*plan.Gateway) {}, ""},
	} {
		g := linked(t, 3, common.Public())
		c.spoil(g)
		if err := polled(t, state, g); codeOf(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
