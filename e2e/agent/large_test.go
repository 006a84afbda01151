package agent_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"ropeway/internal/agent"
	"ropeway/internal/fabric"
	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// manyPrefixes has each of the manyPeers.
const manyPrefixes = 20

// large adds peers to a plan, each with prefixes of its own out of 11.0.0.0/8.
func large(t *testing.T, p *plan.Gateway, peers, prefixes int) {
	t.Helper()
	for i := range peers {
		private, err := ecdh.X25519().GenerateKey(rand.Reader)
		must(t, err)
		name := fmt.Sprintf("many%d", i)
		var list []netip.Prefix
		for j := range prefixes {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], 11<<24|uint32(i*prefixes+j)<<4)
			list = append(list, netip.PrefixFrom(netip.AddrFrom4(a), 28))
		}
		p.Devices[0].Peers = append(p.Devices[0].Peers, &plan.Peer{Gateway: name, PublicKey: key.PublicFromBytes([32]byte(private.PublicKey().Bytes())),
			Endpoint: fabric.Endpoint{Host: "192.0.2.200", Port: 51820}, AllowedIPs: list, MTU: 1440, Underlay: 1500, Overhead: 60})
		p.Routes = append(p.Routes, &plan.Route{Device: "rw0", Peer: name, MTU: 1440, Prefixes: list})
		p.Firewall.Fabric = append(p.Firewall.Fabric, list...)
	}
}

// TestALargePlan: what is promised of a small gateway holds of a large one, and an agent with nothing to do does little.
func TestALargePlan(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.gateways[0], w.gateways[1]
	b.echo()
	b.write(w.plan(2, 1))
	b.start()
	p := w.plan(1, 2)
	large(t, p, manyPeers, manyPrefixes)
	begun := time.Now()
	a.write(p)
	a.start()
	st := a.waitHealthy()
	t.Logf("%d peers, %d routes: healthy after %v, applied in %.3f s, %d changes", manyPeers+1, st.Routes.Installed, time.Since(begun), st.LastApply.Duration, st.LastApply.Changes)
	if st.Routes.Installed != manyPeers*manyPrefixes+2 {
		t.Errorf("%d routes", st.Routes.Installed)
	}
	eventually(t, 20*time.Second, "the hosts reach each other", func() bool { return a.reaches(b) })
	s := a.stream(b)

	// Nothing to do.
	before := cpu(t, a.agent)
	time.Sleep(5 * time.Second)
	used := cpu(t, a.agent) - before
	t.Logf("idle: %.1f %% of a processor", used.Seconds()/5*100)
	if used > 1500*time.Millisecond {
		t.Errorf("the agent used %v of 5 s with nothing to do", used)
	}

	// One peer changes.
	changed := *p
	changed.Devices = []plan.Device{p.Devices[0]}
	changed.Devices[0].Peers = append([]*plan.Peer(nil), p.Devices[0].Peers...)
	one := *changed.Devices[0].Peers[manyPeers/2]
	one.Keepalive = 21
	changed.Devices[0].Peers[manyPeers/2] = &one
	revision := a.write(&changed)
	st = a.waitStatus("at the changed plan", func(st *agent.Status) bool { return st.Plan.Applied == revision })
	t.Logf("one peer changed: applied in %.3f s, %d changes", st.LastApply.Duration, st.LastApply.Changes)
	if st.LastApply.Changes != 1 {
		t.Errorf("%d changes, want 1", st.LastApply.Changes)
	}

	// Drift. The promise is 2 s; the third is for machines that do other things too.
	victim := changed.Devices[0].Peers[7].PublicKey
	a.wg(t, wgtypes.PeerConfig{PublicKey: wgtypes.Key(victim.Bytes()), Remove: true})
	took := eventually(t, 3*time.Second, "the peer is back", func() bool { return strings.Contains(a.tool(t, "wg", "show", "rw0", "peers"), victim.String()) })
	t.Logf("peer back after %v", took)
	a.ip(t, "nexthop", "flush", "proto", "114") // the routes go with it
	took = eventually(t, 3*time.Second, "the routes are back", func() bool {
		return strings.Count(a.ip(t, "route", "show", "proto", "114"), "\n") == manyPeers*manyPrefixes+2
	})
	t.Logf("routes back after %v", took)
	sent, lost := s.end(t)
	t.Logf("%d packets, %d lost while the routes were away, longest silence %v", sent, lost, s.gap)

	a.agent.kill()
	a.start()
	st = a.waitHealthy()
	t.Logf("adopted in %.3f s", st.LastApply.Duration)
	if st.LastApply.Changes != 0 {
		t.Errorf("adopting changed %d things", st.LastApply.Changes)
	}
	begun = time.Now()
	if code, body := a.get("/metrics"); code != 200 || strings.Count(body, "ropeway_peer_up{") != manyPeers+1 {
		t.Errorf("metrics: %d, %d bytes", code, len(body))
	}
	t.Logf("metrics in %v", time.Since(begun))
}

// cpu returns the processor time that the agent has used.
func cpu(t *testing.T, p *process) time.Duration {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	must(t, err)
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var user, system int64
	_, err = fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	must(t, err)
	return time.Duration(user+system) * time.Second / 100 // USER_HZ is 100 on every architecture that Go runs on
}
