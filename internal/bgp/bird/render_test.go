package bird

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ropeway/internal/bgp"
	"ropeway/internal/plan"
	"ropeway/internal/stories"
)

var update = flag.Bool("update", false, "write the golden files again")

// TestGolden renders the configurations of testdata, and the real program has to accept each.
func TestGolden(t *testing.T) {
	stories.Each(t, "testdata/*.txtar", *update, func(t *testing.T, story *stories.Story) {
		var c bgp.Config
		if err := json.Unmarshal(story.Files[0].Data, &c); err != nil {
			t.Fatal(err)
		}
		text, err := render(&c, readReaches(t, string(story.Files[1].Data)), "/run/ropeway/bgp")
		if err != nil {
			t.Fatal(err)
		}
		story.Want(t, "bird.conf", text)
		if err := accepted(t, text); err != nil {
			t.Error(err)
		}
	})
}

// readReaches reads lines of a router's address, ours, and "direct" if it is so.
func readReaches(t *testing.T, text string) map[netip.Addr]reach {
	t.Helper()
	found := map[netip.Addr]reach{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		found[netip.MustParseAddr(f[0])] = reach{local: netip.MustParseAddr(f[1]), direct: len(f) > 2 && f[2] == "direct"}
	}
	return found
}

// accepted asks the real program.
func accepted(t *testing.T, text string) error {
	t.Helper()
	if _, err := exec.LookPath("bird"); err != nil {
		t.Skip("needs bird")
	}
	path := filepath.Join(t.TempDir(), "bird.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return New(Options{Dir: filepath.Dir(path)}).run(t.Context(), "-p", "-c", path)
}

// TestHostile puts into every text of a configuration what would be another statement, were it not refused.
func TestHostile(t *testing.T) {
	for _, evil := range []string{`x"; disabled; #`, "x\nprotocol static evil { }", "x\x00", "x{", "x;", `x" }`, "x\u202e", "x y\"", "\r"} {
		for what, spoil := range map[string]func(*bgp.Config){
			"name":     func(c *bgp.Config) { c.Neighbors[0].Name = evil },
			"device":   func(c *bgp.Config) { c.Neighbors[0].Device = evil },
			"address":  func(c *bgp.Config) { c.Neighbors[0].Address = netip.MustParseAddr("fe80::1").WithZone(evil) },
			"local":    func(c *bgp.Config) { c.Neighbors[0].Local = netip.MustParseAddr("fe80::1").WithZone(evil) },
			"sibling":  func(c *bgp.Config) { c.Table = &plan.Table{Siblings: []plan.Sibling{{Name: evil}}} },
			"password": func(c *bgp.Config) { c.Neighbors[0].Password, c.Passwords = "site", map[string]string{"site": evil} },
		} {
			c := small()
			spoil(c)
			text, err := render(c, nil, "/run")
			if what == "password" && !strings.ContainsAny(evil, "\"\n\r\x00\u202e") {
				if err != nil || !strings.Contains(text, `password "`+evil+`";`) || accepted(t, text) != nil {
					t.Errorf("password %q: %v, in\n%s", evil, err, text)
				}
				continue
			}
			if err == nil {
				t.Errorf("%s %q: rendered as\n%s", what, evil, text)
			}
			if what == "password" && err != nil && strings.Contains(err.Error(), evil) {
				t.Errorf("an error shows the password: %v", err)
			}
		}
	}
	for _, none := range []map[string]string{nil, {"site": ""}, {"site": strings.Repeat("x", 81)}} {
		c := small()
		c.Neighbors[0].Password, c.Passwords = "site", none
		if _, err := render(c, nil, "/run"); err == nil {
			t.Errorf("rendered with the passwords %q", none)
		}
	}
}

func small() *bgp.Config {
	return &bgp.Config{BGP: &plan.BGP{ASN: 65001, RouterID: netip.MustParseAddr("10.255.0.1"), MaxPaths: 1, Neighbors: []*plan.Neighbor{{
		Name: "b", Device: "rwb", Address: netip.MustParseAddr("10.254.1.1"), Local: netip.MustParseAddr("10.254.1.0"), ASN: 65002, Tell: plan.TellOwn,
		Accept: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, MaxHops: 3, MaxPrefixes: 10,
	}}}}
}

func TestDiffer(t *testing.T) {
	first := small()
	second := small()
	second.Neighbors[0].MaxHops = 2
	third := small()
	third.Neighbors[0].Address = netip.MustParseAddr("10.254.1.3")
	for _, c := range []struct {
		have, want *bgp.Config
		changes    string
	}{
		{first, first, ""},
		{first, second, "change neighbor b 10.254.1.1"},
		{first, third, "add neighbor b 10.254.1.3, remove neighbor b 10.254.1.1"},
	} {
		have, _ := render(c.have, nil, "/run")
		want, err := render(c.want, nil, "/run")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(differ(have, want), ", "); got != c.changes {
			t.Errorf("%q, want %q", got, c.changes)
		}
	}
}
