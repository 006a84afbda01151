package firewall

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// many returns n prefixes of 24 bits, none beside another, from 16.0.0.0 on.
func many(n int) []netip.Prefix {
	out := make([]netip.Prefix, n)
	for i := range out {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 16<<24+uint32(i)<<9)
		out[i] = netip.PrefixFrom(netip.AddrFrom4(b), 24)
	}
	return out
}

// large is a plan with one rule to so many prefixes.
func large(to []netip.Prefix) *plan.Gateway {
	return gateway(plan.Rule{ID: 1, Direction: plan.Out, From: pfx("10.1.0.0/16"), To: to})
}

// listSet is the set of the rule's destinations.
func listSet(tb testing.TB, fw *Client, n int) string {
	tb.Helper()
	state, err := fw.Observe(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	for name, s := range state.sets {
		if s.spans.len() == n {
			return name
		}
	}
	tb.Fatalf("no set of %d elements", n)
	return ""
}

// Of each round both sides get several tries, and each benchmark several rounds, so that the medians stand on a busy machine.
const (
	rounds       = 3
	oursPerRound = 20
)

// BenchmarkOneElement puts one element into a set of 100,000 intervals and takes it out, through Apply and through the nft
// command by turns. What Apply takes includes checking and compiling the whole plan and comparing it with what is held.
func BenchmarkOneElement(b *testing.B) {
	nstest.Enter(b)
	fw := New()
	defer func() { _ = fw.Close() }()
	const size = 100_000
	prefixes := many(size + 1)
	without, with := large(prefixes[:size]), large(prefixes)
	if _, err := fw.Apply(b.Context(), without); err != nil {
		b.Fatal(err)
	}
	var ours, theirs []time.Duration
	name := listSet(b, fw, size)
	for b.Loop() {
		for range rounds {
			for n := range oursPerRound {
				start := time.Now()
				change, err := fw.Apply(b.Context(), []*plan.Gateway{with, without}[n%2])
				ours = append(ours, time.Since(start))
				if err != nil || len(change.Lines()) != 1 {
					b.Fatalf("changed %q, %v", change.Lines(), err)
				}
			}
			for _, verb := range []string{"add", "delete"} {
				start := time.Now()
				nftRun(b, verb+" element inet ropeway "+name+" { "+prefixes[size].String()+" }")
				theirs = append(theirs, time.Since(start))
			}
			// What nft did is noticed here, and is no part of the measure.
			if change, err := fw.Apply(b.Context(), without); err != nil || !change.Empty() {
				b.Fatalf("changed %q, %v", change.Lines(), err)
			}
		}
	}
	report(b, ours, theirs, "nft")
}

// report gives the medians, and how often the first goes into the second.
func report(b *testing.B, ours, theirs []time.Duration, name string) {
	b.Helper()
	slices.Sort(ours)
	slices.Sort(theirs)
	a, o := ours[(len(ours)-1)/2], theirs[(len(theirs)-1)/2]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(a.Seconds()*1e3, "ms")
	b.ReportMetric(o.Seconds()*1e3, name+"-ms")
	b.ReportMetric(float64(o)/float64(a), "times-faster")
}

// BenchmarkFullApply makes the whole firewall of a place that reaches 10,000 prefixes, reading it back included, by turns with the
// nft command loading the same table from text.
func BenchmarkFullApply(b *testing.B) {
	nstest.Enter(b)
	fw := New()
	defer func() { _ = fw.Close() }()
	g := large(many(10_000))
	text := Render(g)
	var ours, theirs []time.Duration
	for b.Loop() {
		if err := fw.Remove(b.Context()); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if _, err := fw.Apply(b.Context(), g); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(start))
		if err := fw.Remove(b.Context()); err != nil {
			b.Fatal(err)
		}
		start = time.Now()
		nftText(b, text)
		theirs = append(theirs, time.Since(start))
	}
	report(b, ours, theirs, "nft")
}

// BenchmarkObserve is what the agent pays each second.
func BenchmarkObserve(b *testing.B) {
	nstest.Enter(b)
	fw := New()
	defer func() { _ = fw.Close() }()
	g := large(many(100_000))
	if _, err := fw.Apply(b.Context(), g); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if change, err := fw.Apply(b.Context(), g); err != nil || !change.Empty() {
			b.Fatalf("changed %q, %v", change.Lines(), err)
		}
	}
}

// BenchmarkReadBack reads everything, as the agent does when it starts.
func BenchmarkReadBack(b *testing.B) {
	nstest.Enter(b)
	fw := New()
	defer func() { _ = fw.Close() }()
	if _, err := fw.Apply(b.Context(), large(many(100_000))); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		fw.forget()
		if _, err := fw.Observe(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
