package wireguard

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/fabric"
	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// numbered is a public key that sorts by its number.
func numbered(n byte) key.Public { return key.PublicFromBytes([key.Size]byte{n}) }

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func wantPeer(n byte, name, endpoint string, keepalive int, allowed ...string) *plan.Peer {
	e, err := fabric.ParseEndpoint(endpoint)
	if err != nil {
		panic(err)
	}
	return &plan.Peer{Gateway: name, PublicKey: numbered(n), Endpoint: e, Keepalive: keepalive, AllowedIPs: prefixes(allowed...)}
}

func foundPeer(n byte, endpoint string, allowed ...string) Peer {
	p := Peer{PublicKey: numbered(n), AllowedIPs: prefixes(allowed...)}
	if endpoint != "" {
		p.Endpoint = netip.MustParseAddrPort(endpoint)
	}
	return p
}

// TestDiffPeers is the truth table of peers: what is wanted, what is there, what is to be done.
func TestDiffPeers(t *testing.T) {
	pending := wantPeer(0, "pending", "", 0, "10.9.0.0/16")
	pending.PublicKey = key.Public{}
	set := func(p Peer, last string, stale bool) Peer {
		p.Stale = stale
		if last != "" {
			p.Set = netip.MustParseAddrPort(last)
		}
		return p
	}
	keep := func(p Peer, seconds int) Peer { p.Keepalive = seconds; return p }
	for name, c := range map[string]struct {
		want []*plan.Peer
		have []Peer
		do   []string
	}{
		"nothing":             {nil, nil, nil},
		"new":                 {[]*plan.Peer{wantPeer(1, "a", "192.0.2.1:1", 25, "10.0.0.0/8")}, nil, []string{"add peer a endpoint 192.0.2.1:1 keepalive 25 s +10.0.0.0/8"}},
		"new, dials us":       {[]*plan.Peer{wantPeer(1, "a", "", 0, "10.0.0.0/8")}, nil, []string{"add peer a +10.0.0.0/8"}},
		"new without prefix":  {[]*plan.Peer{wantPeer(1, "a", "", 0)}, nil, []string{"add peer a"}},
		"new, endpoint named": {[]*plan.Peer{wantPeer(1, "a", "gw.example.net:1", 0)}, nil, []string{"add peer a"}},
		"pending":             {[]*plan.Peer{pending}, nil, nil},
		"pending wants nothing": {
			[]*plan.Peer{pending, wantPeer(1, "a", "", 0)}, []Peer{foundPeer(1, "", "10.9.0.0/16")}, []string{"update peer a -10.9.0.0/16"},
		},
		"as it is":    {[]*plan.Peer{wantPeer(1, "a", "192.0.2.1:1", 0, "10.0.0.0/8")}, []Peer{foundPeer(1, "192.0.2.1:1", "10.0.0.0/8")}, nil},
		"not in plan": {nil, []Peer{foundPeer(2, ""), foundPeer(1, "")}, []string{"remove peer not in the plan (AQAAAAAA…)", "remove peer not in the plan (AgAAAAAA…)"}},
		"keepalive":   {[]*plan.Peer{wantPeer(1, "a", "", 0)}, []Peer{keep(foundPeer(1, ""), 25)}, []string{"update peer a keepalive 0 s"}},
		"prefix more": {[]*plan.Peer{wantPeer(1, "a", "", 0, "10.0.0.0/8", "11.0.0.0/8")}, []Peer{foundPeer(1, "", "10.0.0.0/8")}, []string{"update peer a +11.0.0.0/8"}},
		"prefix less": {[]*plan.Peer{wantPeer(1, "a", "", 0, "10.0.0.0/8")}, []Peer{foundPeer(1, "", "10.0.0.0/8", "11.0.0.0/8")}, []string{"update peer a -11.0.0.0/8"}},
		"another order": {
			[]*plan.Peer{wantPeer(1, "a", "", 0, "11.0.0.0/8", "10.0.0.0/8")}, []Peer{foundPeer(1, "", "10.0.0.0/8", "11.0.0.0/8")}, nil,
		},
		"prefix passes on: the taker takes it": {
			[]*plan.Peer{wantPeer(1, "a", "", 0), wantPeer(2, "b", "", 0, "10.0.0.0/8")},
			[]Peer{foundPeer(1, "", "10.0.0.0/8"), foundPeer(2, "")},
			[]string{"update peer b +10.0.0.0/8"},
		},
		"prefixes change places": {
			[]*plan.Peer{wantPeer(1, "a", "", 0, "11.0.0.0/8"), wantPeer(2, "b", "", 0, "10.0.0.0/8")},
			[]Peer{foundPeer(1, "", "10.0.0.0/8"), foundPeer(2, "", "11.0.0.0/8")},
			[]string{"update peer a +11.0.0.0/8", "update peer b +10.0.0.0/8"},
		},
		"new key of a gateway: the new peer comes first": {
			[]*plan.Peer{wantPeer(2, "a", "", 0, "10.0.0.0/8")},
			[]Peer{foundPeer(1, "", "10.0.0.0/8")},
			[]string{"add peer a +10.0.0.0/8", "remove peer not in the plan (AQAAAAAA…)"},
		},

		"endpoint missing":            {[]*plan.Peer{wantPeer(1, "a", "192.0.2.1:1", 0)}, []Peer{foundPeer(1, "")}, []string{"update peer a endpoint 192.0.2.1:1"}},
		"endpoint roamed":             {[]*plan.Peer{wantPeer(1, "a", "192.0.2.1:1", 0)}, []Peer{set(foundPeer(1, "192.0.2.9:9"), "192.0.2.1:1", false)}, nil},
		"endpoint roamed, stale":      {[]*plan.Peer{wantPeer(1, "a", "192.0.2.1:1", 0)}, []Peer{set(foundPeer(1, "192.0.2.9:9"), "192.0.2.1:1", true)}, []string{"update peer a endpoint 192.0.2.1:1"}},
		"endpoint planned anew":       {[]*plan.Peer{wantPeer(1, "a", "192.0.2.2:1", 0)}, []Peer{set(foundPeer(1, "192.0.2.9:9"), "192.0.2.1:1", false)}, []string{"update peer a endpoint 192.0.2.2:1"}},
		"endpoint differs, adopted":   {[]*plan.Peer{wantPeer(1, "a", "192.0.2.1:1", 0)}, []Peer{set(foundPeer(1, "192.0.2.9:9"), "", false)}, nil},
		"endpoint not known by name":  {[]*plan.Peer{wantPeer(1, "a", "gw.example.net:1", 0)}, []Peer{set(foundPeer(1, "192.0.2.9:9"), "192.0.2.1:1", true)}, nil},
		"endpoint no longer in plan":  {[]*plan.Peer{wantPeer(1, "a", "", 0)}, []Peer{set(foundPeer(1, "192.0.2.9:9"), "192.0.2.1:1", true)}, nil},
		"endpoint over IPv6, planned": {[]*plan.Peer{wantPeer(1, "a", "[2001:db8::1]:1", 0)}, []Peer{foundPeer(1, "[2001:db8::1]:1")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := []plan.Device{{Name: "rw0", Peers: c.want}}
			h := []Device{{Name: "rw0", Up: true, Peers: c.have}}
			var got []string
			for _, change := range Diff(w, h) {
				_, text, _ := strings.Cut(change.String(), ": ")
				got = append(got, text)
			}
			if diff := cmp.Diff(c.do, got); diff != "" {
				t.Errorf("to be done (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDiffOrder wants a device made, keyed, addressed and given its peers before it goes up, and others gone first.
func TestDiffOrder(t *testing.T) {
	want := []plan.Device{{
		Name: "rw0", ListenPort: 51820, MTU: 1420, PublicKey: numbered(9), Addresses: prefixes("100.64.0.1/32", "2001:db8::1/128"),
		Peers: []*plan.Peer{wantPeer(1, "a", "", 0, "10.0.0.0/8")},
	}}
	have := []Device{{Name: "rw7"}}
	var ops []Op
	for _, c := range Diff(want, have) {
		ops = append(ops, c.Op)
	}
	if diff := cmp.Diff([]Op{DeleteDevice, CreateDevice, SetKey, SetPort, AddAddress, AddAddress, SetMTU, AddPeer, SetUp}, ops); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	have = []Device{{Name: "rw0", Up: true, ListenPort: 1, MTU: 1, PublicKey: numbered(8), Addresses: prefixes("10.0.0.1/32", "100.64.0.1/32")}}
	ops = nil
	for _, c := range Diff(want, have) {
		ops = append(ops, c.Op)
	}
	if diff := cmp.Diff([]Op{SetKey, SetPort, DeleteAddress, AddAddress, SetMTU, AddPeer}, ops); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// TestCompareMissesNothing holds the walk of two lists against a comparison of all with all, sorted or not.
func TestCompareMissesNothing(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f"}
	list := func(bits uint, shift int, changed uint) (out []*plan.Peer) {
		for i := range names {
			n := (i + shift) % len(names)
			if bits>>n&1 == 1 {
				p := wantPeer(byte(n+1), names[n], "", 0, "10.0.0.0/8")
				if changed>>n&1 == 1 {
					p.Keepalive = 25
				}
				out = append(out, p)
			}
		}
		return out
	}
	for bits := range uint(64) {
		for other := range uint(64) {
			for shift := range 3 {
				before, after := list(bits, 0, 0), list(other, shift, other&0b101)
				d := compare(before, after)
				for n := range names {
					was, is, changed := bits>>n&1 == 1, other>>n&1 == 1, other&0b101>>n&1 == 1
					if differs := was != is || is && changed; differs && !has(d, names[n]) {
						t.Fatalf("before %b, after %b shifted %d: %s is missing", bits, other, shift, names[n])
					}
				}
			}
		}
	}
}

func has(d delta, name string) bool {
	for _, p := range append(append([]*plan.Peer{}, d.before...), d.after...) {
		if p.Gateway == name {
			return true
		}
	}
	return false
}

// FuzzDiffConverges carries changes of peers out on a model of WireGuard's rules (a prefix has one peer; the last to get it has it) and wants the
// wanted state.
func FuzzDiffConverges(f *testing.F) {
	f.Add([]byte{1, 2, 3}, []byte{3, 2, 1})
	f.Fuzz(func(t *testing.T, wantBytes, haveBytes []byte) {
		all := prefixes("10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8", "13.0.0.0/8", "14.0.0.0/8")
		owners := func(b []byte) map[netip.Prefix]byte { // each prefix has at most one peer
			m := map[netip.Prefix]byte{}
			for i, p := range all {
				if i < len(b) && b[i]%5 > 0 {
					m[p] = b[i] % 5
				}
			}
			return m
		}
		var want []*plan.Peer
		for n := byte(1); n < 5; n++ {
			if len(wantBytes) > 5 && wantBytes[5]>>n&1 == 1 {
				continue
			}
			p := wantPeer(n, string('a'+rune(n)), "", 0)
			for _, a := range all {
				if owners(wantBytes)[a] == n {
					p.AllowedIPs = append(p.AllowedIPs, a)
				}
			}
			want = append(want, p)
		}
		model := map[key.Public]map[netip.Prefix]bool{}
		var have Device
		have.Name, have.Up = "rw0", true
		for n := byte(1); n < 5; n++ {
			if len(haveBytes) > 5 && haveBytes[5]>>n&1 == 1 {
				continue
			}
			p := foundPeer(n, "")
			model[p.PublicKey] = map[netip.Prefix]bool{}
			for _, a := range all {
				if owners(haveBytes)[a] == n {
					p.AllowedIPs = append(p.AllowedIPs, a)
					model[p.PublicKey][a] = true
				}
			}
			have.Peers = append(have.Peers, p)
		}
		wanted := plan.Device{Name: "rw0", Peers: want}
		for _, s := range sections(Diff([]plan.Device{wanted}, []Device{have})) {
			if _, there := model[s.PublicKey]; s.UpdateOnly && !there {
				continue
			}
			if model[s.PublicKey] == nil {
				model[s.PublicKey] = map[netip.Prefix]bool{}
			}
			for _, a := range s.AllowedIPs {
				for k := range model {
					delete(model[k], a)
				}
				model[s.PublicKey][a] = true
			}
			if s.Remove {
				delete(model, s.PublicKey)
			}
		}
		var after Device
		after.Name, after.Up = "rw0", true
		for k, list := range model {
			p := Peer{PublicKey: k}
			for a := range list {
				p.AllowedIPs = append(p.AllowedIPs, a)
			}
			after.Peers = append(after.Peers, p)
		}
		if left := Diff([]plan.Device{wanted}, []Device{after}); len(left) > 0 {
			t.Errorf("left to do: %v", left)
		}
	})
}
