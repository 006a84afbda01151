package metrics

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// TestPrometheusReadsIt: Prometheus' own parser finds what was written.
func TestPrometheusReadsIt(t *testing.T) {
	var text Text
	text.Family("ropeway_peers", Gauge, "Peers,\nwith a \\ in its help.")
	text.Sample(3)
	text.Family("ropeway_bytes_total", Counter, "Bytes.")
	text.Sample(1<<53+2, Label{"peer", "use1-a"}, Label{"device", "rw0"})
	text.Sample(0.25, Label{"peer", "quote \" backslash \\ line\nfeed"})
	text.Sample(math.Inf(1), Label{"peer", "inf"})

	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text.Bytes()))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text.Bytes())
	}
	if got := families["ropeway_peers"].GetMetric()[0].GetGauge().GetValue(); got != 3 {
		t.Errorf("ropeway_peers is %v, want 3", got)
	}
	samples := families["ropeway_bytes_total"].GetMetric()
	for i, want := range []float64{1<<53 + 2, 0.25, math.Inf(1)} {
		if got := samples[i].GetCounter().GetValue(); got != want {
			t.Errorf("sample %d is %v, want %v", i, got, want)
		}
	}
	if got, want := samples[1].GetLabel()[0].GetValue(), "quote \" backslash \\ line\nfeed"; got != want {
		t.Errorf("the label came back as %q, want %q", got, want)
	}
}

func FuzzLabel(f *testing.F) {
	for _, s := range []string{"", "use1-a", "\"} 1\nother_metric 2", "\x00\x1b[31m", "\u202egnp.exe", "\xff\xfe", `\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var text Text
		text.Family("m", Gauge, value)
		text.Sample(1, Label{"l", value})
		for _, c := range text.Bytes() {
			if c != '\n' && (c < ' ' || c > '~') {
				t.Fatalf("byte %#x in %q", c, text.Bytes())
			}
		}
		if lines := strings.Count(string(text.Bytes()), "\n"); lines != 3 {
			t.Fatalf("%d lines, want 3: %q", lines, text.Bytes())
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(text.Bytes()))
		if err != nil || len(families) != 1 || len(families["m"].GetMetric()) != 1 {
			t.Fatalf("%v, %d families in %q", err, len(families), text.Bytes())
		}
	})
}

func BenchmarkTenThousandPeers(b *testing.B) {
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("gateway-%d", i)
	}
	var text Text
	for b.Loop() {
		text = Text{buf: text.buf[:0]}
		for _, family := range []string{"ropeway_a", "ropeway_b", "ropeway_c", "ropeway_d"} {
			text.Family(family, Gauge, "Help.")
			for i, name := range names {
				text.Sample(float64(i*1000), Label{"device", "rw0"}, Label{"peer", name})
			}
		}
	}
}
