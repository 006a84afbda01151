package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ropeway/internal/compile"
	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/lab/world"
	"ropeway/internal/plan"
)

// spoken is a fabric whose first region has a router in both families.
const spokenFabric = `apiVersion: ropeway/v1
kind: Fabric
metadata: {name: spoken}
spec:
  topology: {mode: mesh}
  regions:
    - {name: a, prefixes: [10.1.0.0/16, "2001:db8:1::/48"], gateways: [{name: a-1, endpoint: 203.0.113.1}, {name: a-2, endpoint: 203.0.113.2}]}
    - {name: b, prefixes: [10.2.0.0/16, "2001:db8:2::/48"], gateways: [{name: b-1, endpoint: 203.0.113.3}]}
  access:
    - {from: any, to: any}
`

// spoken returns the lab of that fabric, only thought of, where gateways of the daemon know a router.
func spoken(t *testing.T, daemon fabric.Daemon, bfd *plan.BFD) *Lab {
	t.Helper()
	in, list := intent.Read("fabric.yaml", []byte(spokenFabric))
	if in == nil {
		t.Fatal(list)
	}
	p, _ := compile.Compile(in, nil)
	router := []*plan.Neighbor{
		{
			Name: "vpc", Address: netip.MustParseAddr("10.1.0.1"), ASN: 64512, Tell: plan.TellLearnt, MaxHops: 1, MaxPrefixes: 10, BFD: bfd,
			Accept: []netip.Prefix{netip.MustParsePrefix("10.1.64.0/18")}, Password: "vpc",
		},
		{Name: "vpc", Address: netip.MustParseAddr("2001:db8:1::1"), ASN: 64512, Tell: plan.TellLearnt, MaxHops: 1, MaxPrefixes: 10, BFD: bfd},
	}
	for _, name := range []string{"a-1", "a-2"} {
		p.Gateway(name).BGP = &plan.BGP{Daemon: daemon, ASN: 65001, MaxPaths: 1, Neighbors: router}
	}
	p.Places[0].Routes = nil
	w, err := world.Draw(in, p)
	if err != nil {
		t.Fatal(err)
	}
	return &Lab{Name: labName(t), in: in, record: &record{Name: labName(t), Plan: p, World: w}}
}

func TestTheRealProgramTakesARoutersConfiguration(t *testing.T) {
	program, err := findRouter()
	if err != nil {
		t.Skip(err)
	}
	for _, daemon := range []fabric.Daemon{fabric.FRR, fabric.BIRD} {
		s := spoken(t, daemon, &plan.BFD{Interval: 300, Multiplier: 3}).record.World.Speakers[0]
		text := birdConf(s, map[string]string{"vpc": "0123456789"})
		file := filepath.Join(t.TempDir(), "bird.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(program, "-p", "-c", file).CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, text)
		}
		for _, want := range []string{
			"local 10.1.0.1 as 64512;", "local 2001:db8:1::1 as 64512;", `password "0123456789"`, "interval 300 ms; multiplier 3;",
			"route 10.1.64.0/18 unreachable;", "export where source = RTS_STATIC && net ~ [ 10.1.64.0/18 ];",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in\n%s", want, text)
			}
		}
		if strings.Contains(text, "multihop") != (daemon == fabric.BIRD) {
			t.Errorf("for %s:\n%s", daemon, text)
		}
	}
}

// The router of a place learns from gateways that somebody configured by hand, tells them what it may, and prefers as it should.
func TestARouterSpeaksWithGatewaysThatOthersConfigured(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	program, err := findRouter()
	if err != nil {
		t.Skip(err)
	}
	for _, daemon := range []fabric.Daemon{fabric.FRR, fabric.BIRD} {
		t.Run(string(daemon), func(t *testing.T) {
			l := spoken(t, daemon, &plan.BFD{Interval: 100, Multiplier: 3})
			release, err := claim(l.Name)
			if err != nil {
				t.Fatal(err)
			}
			if err := release(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := l.Down(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
				leavesNothing(t, l.Name)
			})
			st, err := build(t.Context(), l.Name, l.record.World)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			for _, name := range []string{"a-1", "a-2"} {
				if err := makeMachine(l.Name, name); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.startRouters(); err != nil {
				t.Fatal(err)
			}
			for i, name := range []string{"a-1", "a-2"} {
				speak(t, l, program, name, 10*i)
			}
			l.routes(t, st, "a/router", "10.2.0.0/16", 1) // the lower metric
			l.routes(t, st, "a/router", "10.3.0.0/16", 2) // alike
			l.routes(t, st, "a/router", "2001:db8:2::/48", 1)
			l.routes(t, st, "a-1", "10.1.64.0/18", 1)
			if err := kill(t.Context(), []string{spaceName(l.Name, "a-1")}); err != nil {
				t.Fatal(err)
			}
			l.routes(t, st, "a/router", "10.3.0.0/16", 1)
			l.routes(t, st, "a/router", "10.2.0.0/16", 1)
		})
	}
}

// speak starts a BIRD with a configuration by hand on a gateway.
func speak(t *testing.T, l *Lab, program, gateway string, metric int) {
	t.Helper()
	hop := "" // as FRR would: the router's address is on the link, and the session is over one hop
	lan, _ := l.record.World.End(gateway, world.Inside)
	if l.record.World.Speakers[0].Sessions[0].Multihop {
		hop = "multihop 2;"
	} else {
		st, err := openSpace(l.Name, l.record.World.Space(gateway))
		if err != nil {
			t.Fatal(err)
		}
		defer st.link.Close()
		defer st.Close()
		link, err := st.link.LinkByName(world.Inside)
		if err != nil {
			t.Fatal(err)
		}
		// BIRD, which plays FRR here, wants a prefix on the interface.
		for _, p := range []string{"10.1.0.100/24", "2001:db8:1::100/64"} {
			if err := st.address(link, netip.MustParsePrefix(p)); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := machineDir(l.Name, gateway)
	secret, err := os.ReadFile(filepath.Join(dir, stateDir, "keys", "vpc.password"))
	if err != nil {
		t.Fatal(err)
	}
	session := func(router, family, cheaper, more string) string {
		local := world.InFamily(lan.Link, netip.MustParseAddr(router))
		return fmt.Sprintf(`protocol bgp { local %s as 65001; neighbor %s as 64512; %s connect delay time 1; error wait time 1, 2; bfd { interval 100 ms; multiplier 3; };
	%s %s { import all; export filter { if source != RTS_STATIC then reject; if net = %s then bgp_med = %d; accept; }; }; }
`, local, router, hop, more, family, cheaper, metric)
	}
	conf := "log stderr all;\nrouter id 192.0.2." + fmt.Sprint(metric+1) + `;
protocol device { }
protocol direct { ipv4; ipv6; }
protocol kernel { ipv4 { import where net.len = 32; export where source = RTS_BGP; }; learn; }
protocol kernel { ipv6 { import where net.len = 128; export none; }; learn; }
protocol bfd { }
protocol static { ipv4; route 10.2.0.0/16 unreachable; route 10.3.0.0/16 unreachable; }
protocol static { ipv6; route 2001:db8:2::/48 unreachable; }
` + session("10.1.0.1", "ipv4", "10.2.0.0/16", `password "`+strings.TrimSpace(string(secret))+`";`) + session("2001:db8:1::1", "ipv6", "2001:db8:2::/48", "")
	file := filepath.Join(dir, "by-hand.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-f", "-c", file, "-s", filepath.Join(dir, "ctl"))
	if err := l.startDaemon(gateway, filepath.Join(dir, "by-hand.log"), cmd, nil); err != nil {
		t.Fatal(err)
	}
}

// routes waits until a machine has a route to a prefix with so many next hops.
func (l *Lab) routes(t *testing.T, st *site, machine, prefix string, hops int) {
	t.Helper()
	family := "-4"
	if strings.Contains(prefix, ":") {
		family = "-6"
	}
	var out []byte
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		err := st.spaces[machine].Do(func() (err error) {
			out, err = exec.Command("ip", family, "route", "show", prefix).CombinedOutput()
			return err
		})
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if strings.Count(string(out), " dev ") == hops {
			return
		}
	}
	for _, log := range []string{routerHome(l.Name, l.record.World.Speakers[0]) + "/bird.log", machineDir(l.Name, "a-1") + "/by-hand.log"} {
		text, _ := os.ReadFile(log)
		t.Logf("%s:\n%s", log, text)
	}
	t.Fatalf("%s has %q to %s, want %d next hops", machine, out, prefix, hops)
}
