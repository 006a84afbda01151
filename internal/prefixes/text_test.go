package prefixes_test

import (
	"net/netip"
	"testing"

	"ropeway/internal/prefixes"
)

func TestFew(t *testing.T) {
	var four []netip.Prefix
	for _, text := range []string{"10.0.0.0/8", "192.0.2.1/32", "2001:db8::1/128", "2001:db8:1::/48"} {
		four = append(four, netip.MustParsePrefix(text))
	}
	for most, want := range map[int]string{
		2: "10.0.0.0/8, 192.0.2.1 and 2 more",
		3: "10.0.0.0/8, 192.0.2.1, 2001:db8::1, 2001:db8:1::/48",
		9: "10.0.0.0/8, 192.0.2.1, 2001:db8::1, 2001:db8:1::/48",
	} {
		if got := prefixes.Few(four, most); got != want {
			t.Errorf("at most %d: %q, want %q", most, got, want)
		}
	}
	if got := prefixes.Few(nil, 2); got != "nothing" {
		t.Errorf("of no prefixes: %q", got)
	}
}
