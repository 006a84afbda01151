package firewall

import (
	"bytes"
	"encoding/json"
	"flag"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/nstest"
	"ropeway/internal/plan"
	"ropeway/internal/stories"
)

var update = flag.Bool("update", false, "write the golden files again")

// TestGolden renders the plans of testdata. Each text is also given to the real nft, which has to take it; the native rendering
// has to leave the kernel with the same table, as nft lists it; and the client has to find in the one what it would make itself.
func TestGolden(t *testing.T) {
	stories.Each(t, "testdata/*.txtar", *update, func(t *testing.T, story *stories.Story) {
		var g plan.Gateway
		if err := json.Unmarshal(story.Files[0].Data, &g); err != nil {
			t.Fatal(err)
		}
		story.Want(t, "want.nft", string(Render(&g)))
		if g.Validate() == nil {
			sameInKernel(t, &g)
		}
	})
}

// sameInKernel gives the kernel both renderings of a plan, one after the other, and compares.
func sameInKernel(t *testing.T, g *plan.Gateway) {
	t.Helper()
	nstest.Enter(t)
	fw := New()
	defer func() { _ = fw.Close() }()
	text := Render(g)
	nftText(t, text, "-c")
	if _, err := fw.Apply(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	native := list(t)
	nftText(t, text)
	if diff := cmp.Diff(native, list(t)); diff != "" {
		t.Errorf("the kernel holds (-native +text):\n%s", diff)
	}
	have, err := fw.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if change := Diff(have, Compile(g)); !change.Empty() {
		t.Errorf("of what nft loaded the client would change %q", change.Lines())
	}
}

// TestHostileNames puts into every text of a plan what would be another rule, were it not refused.
func TestHostileNames(t *testing.T) {
	nstest.Enter(t)
	for _, evil := range []string{
		`rw0" }; flush ruleset; #`, "rw0\nflush ruleset", `rw0\"`, "rw$(id)", "rw\x00", "rw\u202e0", "eth0", "rw0123456789012345", "",
	} {
		for what, spoil := range map[string]func(*plan.Gateway){
			"device":  func(g *plan.Gateway) { g.Devices[0].Name = evil },
			"gateway": func(g *plan.Gateway) { g.Name = evil },
			"place":   func(g *plan.Gateway) { g.Place = evil },
			"direction": func(g *plan.Gateway) {
				g.Firewall.Rules[0].Direction = plan.Direction(evil)
			},
		} {
			g := driftPlan(t)
			spoil(g)
			if g.Validate() == nil && (what == "gateway" || what == "place") {
				continue // "eth0" is a fine name for a gateway
			}
			text := Render(g)
			if n := bytes.Count(text, []byte("\n")); n != 2 || bytes.Contains(text, []byte("\ntable")) || !ascii(text) {
				t.Errorf("%s %q: rendered as\n%s", what, evil, text)
			}
			nftText(t, text)
			fw := New()
			if _, err := fw.Apply(t.Context(), g); err == nil {
				t.Errorf("%s %q: applied", what, evil)
			}
			_ = fw.Close()
		}
	}
	if got := nftRun(t, "list ruleset"); got != "" {
		t.Errorf("the kernel holds\n%s", got)
	}
}

func ascii(text []byte) bool {
	return !bytes.ContainsFunc(text, func(r rune) bool { return r > 126 || r < 32 && r != '\n' })
}

// TestTextIsPlain checks that a rendering consists of nothing but printable ASCII.
func TestTextIsPlain(t *testing.T) {
	if text := bytes.ReplaceAll(Render(driftPlan(t)), []byte("\t"), nil); !ascii(text) {
		t.Errorf("rendered as\n%q", text)
	}
}
