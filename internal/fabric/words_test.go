package fabric_test

import (
	"strings"
	"testing"

	"ropeway/internal/fabric"
)

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "use1-a": true, "1": true, strings.Repeat("a", 63): true,
		"": false, "-a": false, "a-": false, "A": false, "a.b": false, "a_b": false, "a\n": false, "a b": false, "é": false,
		strings.Repeat("a", 64): false, "a;b": false, "$(a)": false, "a\x00": false, "\u202ea": false,
	} {
		if got := fabric.ValidName(name); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
}

func TestValidHost(t *testing.T) {
	for host, want := range map[string]bool{
		"203.0.113.1": true, "2001:db8::1": true, "gw": true, "gw.example.net": true, "1.example": true,
		"203.0.113.01": false, "203.0.113.256": false, "1.2.3": false, "2001:DB8::1": false, "2001:db8:0::1": false, "fe80::1%eth0": false,
		"::ffff:1.2.3.4": false, "gw.": false, "GW": false, "a..b": false, "a_b.net": false, "": false, "gw:51820": false,
		strings.Repeat("a.", 126) + "a": true, strings.Repeat("a.", 126) + "aa": false,
	} {
		if got := fabric.ValidHost(host); got != want {
			t.Errorf("%q: got %v", host, got)
		}
	}
}

func FuzzParseService(f *testing.F) {
	for _, s := range []string{"tcp/443", "udp/53-54", "icmp", "tcp/0", "tcp/65536", "tcp/1-65535", "tcp/+1", "tcp/01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		service, err := fabric.ParseService(s)
		if err != nil {
			return
		}
		again, err := fabric.ParseService(service.String())
		if err != nil || again != service {
			t.Errorf("%q → %v → %v, %v", s, service, again, err)
		}
		if service.Protocol != fabric.ICMP && (service.First == 0 || service.Last < service.First) {
			t.Errorf("%q: %v", s, service)
		}
	})
}

func FuzzParseEndpoint(f *testing.F) {
	for _, s := range []string{"", "203.0.113.1:51820", "[2001:db8::1]:1", "gw.example.net:65535", "[gw]:1", "[203.0.113.1]:1", "1.2.3:4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := fabric.ParseEndpoint(s)
		if err != nil {
			return
		}
		again, err := fabric.ParseEndpoint(e.String())
		if err != nil || again != e {
			t.Errorf("%q → %v → %v, %v", s, e, again, err)
		}
	})
}
