package reach_test

import (
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"ropeway/internal/compile"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/reach"
	"ropeway/internal/state"
	"ropeway/internal/stories"
	"ropeway/internal/verify"
)

var update = flag.Bool("update", false, "write what the stories expect")

// Each story has two fabric files, before.yaml (which may be missing) and after.yaml, and the text of what differs.
func TestStories(t *testing.T) {
	stories.Each(t, "testdata/*.txtar", *update, func(t *testing.T, story *stories.Story) {
		var sides [2]reach.Side
		var lock *state.Lock
		for _, f := range story.Files {
			switch f.Name {
			case "before.yaml":
				sides[0], lock = side(t, f, nil)
			case "after.yaml":
				sides[1], _ = side(t, f, lock)
			}
		}
		story.Want(t, "want", reach.Compare(sides[0], sides[1]).Text())
	})
}

func side(t *testing.T, f txtar.File, lock *state.Lock) (reach.Side, *state.Lock) {
	t.Helper()
	in, problems := intent.Read(f.Name, f.Data)
	if in == nil {
		t.Fatal(problems)
	}
	p, next := compile.Compile(in, lock)
	return reach.Side{Intent: in, Model: verify.New(p, verify.Facts{})}, next
}

// mesh writes a fabric of so many places with so many prefixes each, and one more of the place 7, where all may talk to all.
func mesh(places, prefixes int, extra string) txtar.File {
	var b strings.Builder
	b.WriteString("apiVersion: ropeway/v1\nkind: Fabric\nmetadata: {name: big}\nspec:\n  topology: {mode: mesh}\n  regions:\n")
	for i := range places {
		var list []string
		for j := range prefixes {
			list = append(list, fmt.Sprintf("10.%d.%d.0/24", i, j))
		}
		if i == 7 {
			list = append(list, extra)
		}
		fmt.Fprintf(&b, "    - {name: r%d, prefixes: [%s], gateways: [{name: g%d, endpoint: 203.0.113.%d}]}\n", i, strings.Join(list, ", "), i, i+1)
	}
	b.WriteString("  access: [{from: any, to: any}]\n")
	return txtar.File{Name: "mesh.yaml", Data: []byte(b.String())}
}

// In a fabric that is too large to ask about everything, what access changes is still asked about in full. Either way it is the same that changes.
func TestLargeFabric(t *testing.T) {
	before, lock := side(t, mesh(80, 8, "10.7.100.0/24"), nil)
	after, _ := side(t, mesh(80, 8, "10.7.200.0/24"), lock)
	for most, partial := range map[int]bool{1000: true, 1_000_000: false} {
		d := reach.CompareAtMost(before, after, most)
		if d.Partial != partial {
			t.Errorf("at most %d pairs: partial is %v", most, d.Partial)
		}
		added, removed := 0, 0
		for _, c := range d.Changes {
			for _, p := range append(c.Sources, c.Destinations...) {
				switch p.String() {
				case "10.7.200.0/24":
					added++
				case "10.7.100.0/24":
					removed++
				}
			}
		}
		if want := 2 * 79; len(d.Changes) != 2*want || added != want || removed != want {
			t.Errorf("%d changes, %d with the new prefix, %d with the old one; want %d, %d, %d", len(d.Changes), added, removed, 2*want, want, want)
		}
	}
}

// Prefixes that no plan tells apart are asked about once, and all of them stand in the answer.
func TestPrefixesThatShareAFate(t *testing.T) {
	before, lock := side(t, mesh(80, 8, "10.7.100.0/24"), nil)
	narrow := mesh(80, 8, "10.7.100.0/24")
	narrow.Data = []byte(strings.Replace(string(narrow.Data), "to: any}", "to: any, ports: [tcp/1-65535]}", 1))
	after, _ := side(t, narrow, lock)
	d := reach.CompareAtMost(before, after, 80*79)
	if d.Partial || len(d.Changes) != 80*79 {
		t.Errorf("partial is %v, %d changes, want %d", d.Partial, len(d.Changes), 80*79)
	}
	for _, c := range d.Changes {
		if c.Action != plan.Remove || !slices.Equal(c.Services, []string{"other protocols"}) || covered(c.Sources) < 8*256 || covered(c.Destinations) < 8*256 {
			t.Fatalf("%+v, want all of both places to lose other protocols", c)
		}
	}
}

// covered counts the addresses of IPv4 prefixes.
func covered(list []netip.Prefix) (n int) {
	for _, p := range list {
		n += 1 << (32 - p.Bits())
	}
	return n
}

// What is gained without end does not hide what is lost: each action has its own share of the list.
func TestLongListsAreCounted(t *testing.T) {
	small, lock := side(t, mesh(10, 1, "10.7.100.0/24"), nil)
	large, _ := side(t, mesh(110, 1, "10.7.200.0/24"), lock)
	d := reach.Compare(small, large)
	listed := map[plan.Action]int{}
	for _, c := range d.Changes {
		listed[c.Action]++
	}
	gained := 110*109 - 10*9 + 2*9 // new pairs, and both ways of the new prefix to places that there were
	if listed[plan.Add] != 10_000 || d.Omitted[plan.Add] != gained-10_000 || listed[plan.Remove] != 2*9 || len(d.Omitted) != 1 {
		t.Errorf("lists %v and omits %v of %d gained and %d lost", listed, d.Omitted, gained, 2*9)
	}
	if want := fmt.Sprintf("… and %d more (-o json has 10000 of a kind)\n", gained+2*9-200); !strings.HasSuffix(d.Text(), want) {
		t.Errorf("the text does not end in %q", want)
	}
}
