package probe_test

import (
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"ropeway/internal/nstest"
	"ropeway/internal/probe"
)

// Whoever is at the other end of the device answers, by one of the addresses that may be its own; nobody else does.
func TestEcho(t *testing.T) {
	for _, groups := range []string{"1\t0", "0\t2147483647"} { // the kernel's default, and that of most distributions
		near := nstest.Enter(t)
		far, aside := nstest.New(t), nstest.New(t)
		nstest.Join(t, nstest.Plug{NS: near, Name: "rw0", Addr: "100.64.0.1/24"}, nstest.Plug{NS: far, Name: "far0", Addr: "100.64.0.2/24"})
		nstest.Join(t, nstest.Plug{NS: near, Name: "eth0", Addr: "100.64.1.1/24"}, nstest.Plug{NS: aside, Name: "aside0", Addr: "100.64.1.2/24"})
		if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte(groups), 0o600); err != nil {
			t.Fatal(err)
		}
		ask := func(wait time.Duration, targets ...probe.Target) []string {
			t.Helper()
			answered, err := probe.Echo(t.Context(), targets, wait)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for name := range answered {
				names = append(names, name)
			}
			slices.Sort(names)
			return names
		}
		at := func(list ...string) (out []netip.Addr) {
			for _, a := range list {
				out = append(out, netip.MustParseAddr(a))
			}
			return out
		}
		there := probe.Target{Name: "gw2", Device: "rw0", Addresses: at("100.64.0.9", "100.64.0.2")}
		if got := ask(30*time.Second, there); !slices.Equal(got, []string{"gw2"}) { // it comes back as soon as it has answered
			t.Errorf("groups %q: %v answered", groups, got)
		}
		gone := probe.Target{Name: "gw3", Device: "rw0", Addresses: at("100.64.0.3")}
		other := probe.Target{Name: "gw4", Device: "rw0", Addresses: at("100.64.1.2")} // is there, but not behind this device
		if got := ask(2*time.Second, there, gone, other); !slices.Equal(got, []string{"gw2"}) {
			t.Errorf("groups %q: %v answered", groups, got)
		}
		if got := ask(time.Second); len(got) > 0 {
			t.Errorf("nobody was asked, and %v answered", got)
		}
		if _, err := probe.Echo(t.Context(), []probe.Target{{Name: "x", Device: "rw7", Addresses: at("100.64.0.2")}}, time.Second); err == nil {
			t.Error("a device that is not there was no error")
		}
	}
}
