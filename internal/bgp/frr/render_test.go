package frr

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"ropeway/internal/bgp"
	"ropeway/internal/plan"
	"ropeway/internal/stories"
)

var update = flag.Bool("update", false, "write the golden files again")

// TestGolden renders the configurations of testdata, and FRR's own reader has to take each.
func TestGolden(t *testing.T) {
	stories.Each(t, "testdata/*.txtar", *update, func(t *testing.T, story *stories.Story) {
		c := read(t, story)
		text := Render(c)
		story.Want(t, "frr.conf", text)
		if strings.Contains(text, "hidden") {
			t.Error("a password is shown")
		}
		needVtysh(t)
		if err := New(Options{Dir: t.TempDir()}).judge(t.Context(), render(c)); err != nil {
			t.Error(err)
		}
	})
}

// read returns the configuration of a story. Every password that it names is there.
func read(t *testing.T, story *stories.Story) *bgp.Config {
	t.Helper()
	c := &bgp.Config{Passwords: map[string]string{}}
	if err := json.Unmarshal(story.Files[0].Data, c); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Neighbors {
		if n.Password != "" {
			c.Passwords[n.Password] = "hidden-" + n.Password
		}
	}
	if err := check(c); err != nil {
		t.Fatal(err)
	}
	return c
}

func needVtysh(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("vtysh"); err != nil {
		t.Skip("needs FRR")
	}
}

// small is a gateway with one neighbour.
func small() *bgp.Config {
	return &bgp.Config{BGP: &plan.BGP{
		ASN: 65001, RouterID: netip.MustParseAddr("10.255.0.1"), Own: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, MaxPaths: 4,
		Neighbors: []*plan.Neighbor{{
			Name: "b", Device: "veth0", Address: netip.MustParseAddr("10.254.1.1"), Local: netip.MustParseAddr("10.254.1.0"), ASN: 65002, Tell: plan.TellOwn,
			Accept: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, MaxHops: 3, MaxPrefixes: 10,
			BFD: &plan.BFD{Interval: 300, Multiplier: 3},
		}},
	}}
}

// TestHostile puts into every text of a configuration what would be another line, were it not refused.
func TestHostile(t *testing.T) {
	for _, evil := range []string{"x\nno router bgp 65001", "x\ry", "x\x00", "x y", "x\ty", "x\u202e", " ", ""} {
		for what, spoil := range map[string]func(*plan.Neighbor, *bgp.Config){
			"name":    func(n *plan.Neighbor, _ *bgp.Config) { n.Name = evil },
			"address": func(n *plan.Neighbor, _ *bgp.Config) { n.Address = netip.MustParseAddr("fe80::1").WithZone("z" + evil) },
			"local":   func(n *plan.Neighbor, _ *bgp.Config) { n.Local = netip.MustParseAddr("fe80::1").WithZone("z" + evil) },
			"password": func(n *plan.Neighbor, c *bgp.Config) {
				n.Password, c.Passwords = "site", map[string]string{"site": evil}
			},
			"password's name": func(n *plan.Neighbor, c *bgp.Config) {
				n.Password, c.Passwords = "."+evil, map[string]string{"." + evil: "secret"}
			},
			"missing password": func(n *plan.Neighbor, c *bgp.Config) { n.Password = "site" },
		} {
			c := small()
			spoil(c.Neighbors[0], c)
			err := check(c)
			if err == nil {
				t.Errorf("%s %q is taken", what, evil)
			} else if what == "password" && len(evil) > 1 && strings.Contains(err.Error(), evil) {
				t.Errorf("an error shows the password: %v", err)
			}
		}
	}
}

// TestJudge has FRR's reader refuse what is no configuration, and no error of it shows a password.
func TestJudge(t *testing.T) {
	needVtysh(t)
	d := New(Options{Dir: t.TempDir()})
	s := render(small())
	s.simple(s.router, "neighbor 10.254.1.1 frobnicate")
	if err := d.judge(t.Context(), s); err == nil || !strings.Contains(err.Error(), "frobnicate") {
		t.Errorf("a line that is none: %v", err)
	}
	s = render(small())
	s.simple(s.router, "neighbor 10.254.1.1 password sw0rd fish")
	if err := d.judge(t.Context(), s); err == nil || strings.Contains(err.Error(), "sw0rd") {
		t.Errorf("a line about a password: %v", err)
	}
}

// TestDifference tells what changes with a configuration, and in which order.
func TestDifference(t *testing.T) {
	for what, c := range map[string]struct {
		change     func(*bgp.Config)
		come, gone string // substrings, in order
	}{
		"nothing":      {func(*bgp.Config) {}, "", ""},
		"a prefix":     {func(c *bgp.Config) { c.Own = append(c.Own, netip.MustParsePrefix("10.2.0.0/16")) }, "network 10.2.0.0/16", ""},
		"no prefix":    {func(c *bgp.Config) { c.Own = nil }, "", "no network 10.1.0.0/16"},
		"no neighbour": {func(c *bgp.Config) { c.Neighbors = nil }, "", "no neighbor 10.254.1.1\n|no route-map|no ip prefix-list"},
		"fewer hops":   {func(c *bgp.Config) { c.Neighbors[0].MaxHops = 2 }, "as-path access-list|route-map|route-map RW-", "no route-map|no bgp as-path"},
		"BFD":          {func(c *bgp.Config) { c.Neighbors[0].BFD = &plan.BFD{Interval: 400, Multiplier: 3} }, "profile|bfd profile", ""},
		"a limit":      {func(c *bgp.Config) { c.Neighbors[0].MaxPrefixes = 9 }, "maximum-prefix 9 restart", ""},
	} {
		next := small()
		c.change(next)
		s := render(next)
		come, gone := difference(render(small()).lines, s.lines)
		inOrder(t, what+" comes", write(come, nil), c.come)
		inOrder(t, what+" goes", write(forget(gone, s), nil), c.gone)
	}
}

// inOrder holds that a text has parts in this order, and is empty where there are none.
func inOrder(t *testing.T, what, text, parts string) {
	t.Helper()
	rest := text
	for part := range strings.SplitSeq(parts, "|") {
		_, after, found := strings.Cut(rest, part)
		if !found || parts == "" && text != "" {
			t.Errorf("%s: want %q in order in\n%s", what, parts, text)
			return
		}
		rest = after
	}
}
