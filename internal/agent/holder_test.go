package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ropeway/internal/plan"
)

// A place of three gateways and a table of two routes, seen from the first gateway.
type heldPlace struct {
	h       *holder
	want    *plan.BGP
	up      map[string]bool // siblings
	dead    bool            // the own daemon
	drained bool
	blocked map[string]bool // prefixes that the machine has no way to
	refuse  error
	asked   []string
}

func newHeldPlace() *heldPlace {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	p := &heldPlace{up: map[string]bool{"b": true, "c": true}, blocked: map[string]bool{}}
	p.want = &plan.BGP{Table: &plan.Table{
		Siblings: []plan.Sibling{{Name: "b", Address: addr("10.0.0.2")}, {Name: "c", Address: addr("10.0.0.3")}},
		Routes: []*plan.RouterRoute{
			{To: "mine", Gateway: "a", Then: []string{"b", "c"}, Prefixes: []netip.Prefix{prefix("10.1.0.0/16")}},
			{To: "theirs", Gateway: "b", Then: []string{"c", "a"}, Prefixes: []netip.Prefix{prefix("10.2.0.0/16")}},
		},
	}}
	p.h = &holder{
		table:   p,
		forward: func(a netip.Addr) bool { return !p.blocked[a.String()] },
		drained: func() bool { return p.drained },
		log:     slog.New(slog.DiscardHandler),
		watched: func(context.Context, *plan.BGP) (map[netip.Addr]string, error) {
			if p.dead {
				return nil, errors.New("it does not run")
			}
			states := map[netip.Addr]string{}
			for _, s := range p.want.Table.Siblings {
				states[s.Address] = map[bool]string{true: "up", false: "down"}[p.up[s.Name]]
			}
			return states, nil
		},
	}
	return p
}

func (p *heldPlace) Lead(_ context.Context, gateway string, prefixes []netip.Prefix) ([]netip.Prefix, error) {
	p.asked = append(p.asked, fmt.Sprint(gateway, prefixes))
	return prefixes, p.refuse
}

// looks lets time pass as the loop does, and returns what the table was asked for.
func (p *heldPlace) looks(d time.Duration) string {
	p.asked = nil
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(lookForSiblings) {
		p.h.look(context.Background(), "a", p.want)
	}
	return strings.Join(p.asked, " ")
}

// What is its own a gateway asserts at once and then every half minute; what falls to it from others, once.
func TestAHolderTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newHeldPlace()
		step := func(what string, d time.Duration, want string) {
			t.Helper()
			if got := p.looks(d); got != want {
				t.Errorf("%s: asked for %q, want %q", what, got, want)
			}
		}
		step("at first", time.Second, "a[10.1.0.0/16]")
		step("meanwhile", 20*time.Second, "")
		step("now and then", 31*time.Second, "a[10.1.0.0/16]")
		p.up["b"] = false
		step("c is next", time.Second, "")
		p.up["c"] = false
		step("nobody else", time.Second, "a[10.2.0.0/16]")
		if st := p.h.seen(); !slices.Equal(st.Holds, []string{"mine", "theirs"}) || st.Siblings[0].There || len(st.reasons()) > 0 {
			t.Errorf("status %+v", st)
		}
		step("its own alone again and again", 30*time.Second, "a[10.1.0.0/16]")
		p.up["b"] = true
		step("b is back", time.Second, "")
		p.up["b"] = false
		step("and gone", time.Second, "a[10.2.0.0/16]")
		p.dead = true
		step("its daemon is dead", 40*time.Second, "")
		p.dead, p.drained, p.up["c"] = false, true, true
		step("it is drained, and there is another", 40*time.Second, "")
		p.up["c"] = false
		step("it is drained and alone", time.Second, "a[10.1.0.0/16 10.2.0.0/16]")
	})
}

// After a start siblings get time to be seen, and a gateway has to have a way itself.
func TestAHolderBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newHeldPlace()
		p.up = map[string]bool{}
		p.blocked["10.1.0.0"] = true
		if got := p.looks(comeWithin - time.Second); got != "" {
			t.Errorf("asked for %q before anybody could be seen", got)
		}
		if got, want := p.looks(2*time.Second), "a[10.2.0.0/16]"; got != want {
			t.Errorf("asked for %q, want %q: nobody came, and there is no way to the other", got, want)
		}
		p.blocked = nil
		if got, want := p.looks(time.Second), "a[10.1.0.0/16]"; got != want {
			t.Errorf("asked for %q, want %q", got, want)
		}
	})
}

// A table that refuses is asked again every second, and the status says why.
func TestAHolderTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newHeldPlace()
		p.refuse = errors.New("not allowed")
		if n := strings.Count(p.looks(5*time.Second), "a["); n != 5 {
			t.Errorf("asked %d times in 5 s, want 5", n)
		}
		if r := p.h.seen().reasons(); len(r) != 1 || !strings.Contains(r[0], "not allowed") {
			t.Errorf("reasons %q", r)
		}
		p.refuse = nil
		p.looks(2 * time.Second)
		if r := p.h.seen().reasons(); len(r) > 0 {
			t.Errorf("reasons %q after it went well", r)
		}
		p.h.table = nil
		p.up = map[string]bool{}
		p.looks(time.Second)
		if r := p.h.seen().reasons(); len(r) != 1 || !strings.Contains(r[0], "--route-table") {
			t.Errorf("reasons %q where nobody said how", r)
		}
		p.h.look(t.Context(), "a", nil)
		if p.h.seen() != nil {
			t.Error("a status without a table")
		}
	})
}
