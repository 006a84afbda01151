package fabric_test

import (
	"strings"
	"testing"

	"ropeway/internal/fabric"
)

func TestCommunity(t *testing.T) {
	for text, want := range map[string]struct {
		valid    bool
		reserved string
	}{
		"64512:100": {true, ""}, "1:0": {true, ""}, "65534:65535": {true, ""}, "114:1": {true, ""},
		"4200000001:1:2": {true, ""}, "1:0:4294967295": {true, ""},
		"0:1": {true, "RFC 1997"}, "65535:5": {true, "RFC 1997"}, "65535:0": {true, "GRACEFUL_SHUTDOWN"}, "65535:666": {true, "BLACKHOLE"},
		"65535:65281": {true, "NO_EXPORT"}, "65535:65282": {true, "NO_ADVERTISE"}, "65535:65283": {true, "NO_EXPORT_SUBCONFED"}, "65535:65284": {true, "NOPEER"},
		"114:1:7": {true, "Ropeway"}, "0:1:2": {true, "RFC 8092"}, "65535:1:2": {true, "RFC 8092"}, "4294967295:1:2": {true, "RFC 8092"},
		"": {}, "1": {}, "1:": {}, ":1": {}, "1:2:3:4": {}, "65536:1": {}, "1:65536": {}, "4294967296:1:2": {}, "01:2": {}, "1:+2": {}, "1: 2": {}, "1:2\n": {}, "no-export": {}, "1:2 additive": {},
		"\u0661:2": {}, strings.Repeat("1:", 100): {},
	} {
		c, err := fabric.ParseCommunity(text)
		if (err == nil) != want.valid {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if err != nil {
			continue
		}
		if got := c.Reserved(); (got == "") != (want.reserved == "") || !strings.Contains(got, want.reserved) {
			t.Errorf("%q is reserved for %q, want %q", text, got, want.reserved)
		}
		if c.Large() != (strings.Count(text, ":") == 2) {
			t.Errorf("%q: large is %v", text, c.Large())
		}
	}
	if none := (fabric.Community{}); none.Reserved() == "" || none.String() != "" {
		t.Errorf("no community is %q and free", none)
	}
}

func FuzzParseCommunity(f *testing.F) {
	for _, s := range []string{"64512:100", "4200000001:1:2", "65535:0", "1:2:3:4", "01:1", "+1:2", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := fabric.ParseCommunity(s)
		if err != nil {
			return
		}
		if c.String() != s || strings.Trim(s, "0123456789:") != "" {
			t.Errorf("%q is read as %q", s, c)
		}
		if again, err := fabric.ParseCommunity(c.String()); err != nil || again.Compare(c) != 0 {
			t.Errorf("%q, written and read again, is %q (%v)", s, again, err)
		}
	})
}
