package wireguard

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A name that has no address is asked for soon, then less and less often, and anew once it had one.
func TestLookupsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var asked []time.Duration
		fails := true
		r := newResolver(func(context.Context, string) ([]netip.Addr, error) {
			asked = append(asked, time.Since(begun).Round(time.Second))
			if fails {
				return nil, errors.New("no such host")
			}
			return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
		})
		passes := func(n int) {
			for range n {
				r.ask(t.Context(), []string{"a.example.net"})
				time.Sleep(time.Second)
			}
		}
		passes(40)
		want := []time.Duration{0, 1, 3, 7, 15, 25, 35}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(asked, want) {
			t.Errorf("asked after %v, want %v", asked, want)
		}
		fails, asked = false, nil
		passes(20)
		if len(asked) != 1 {
			t.Errorf("a name with an address was asked for %d times", len(asked))
		}
	})
}
