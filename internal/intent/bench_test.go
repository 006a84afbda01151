package intent_test

import (
	"fmt"
	"strings"
	"testing"

	"ropeway/internal/intent"
)

// large returns a mesh of n places with one gateway and ten prefixes each, a segment, rules and tests.
func large(n int) string {
	var b strings.Builder
	b.WriteString(head + "  topology: {mode: mesh}\n  regions:\n")
	for i := range n {
		fmt.Fprintf(&b, "    - name: r%d\n      provider: aws\n      prefixes: [", i)
		for j := range 10 {
			k := i*10 + j
			fmt.Fprintf(&b, "10.%d.%d.0/24, ", k/256, k%256)
		}
		fmt.Fprintf(&b, "]\n      gateways:\n        - {name: r%d-a, zone: z, endpoint: 203.0.%d.%d}\n", i, i/250, i%250+1)
	}
	b.WriteString("  access:\n")
	for i := range n {
		fmt.Fprintf(&b, "    - {from: region/r%d, to: any, ports: [tcp/443]}\n", i)
	}
	b.WriteString("  tests:\n")
	for i := range n - 1 {
		fmt.Fprintf(&b, "    - {from: region/r%d, to: \"10.%d.%d.1:443/tcp\", expect: reachable}\n", i, (i+1)*10/256, (i+1)*10%256)
	}
	return b.String()
}

// BenchmarkRead reads a fabric of 1,000 gateways and 10,000 prefixes: a mesh of 499,500 links.
func BenchmarkRead(b *testing.B) {
	data := []byte(large(1000))
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if in, problems := intent.Read("f.yaml", data); in == nil {
			b.Fatal(problems)
		}
	}
}

func BenchmarkJoined(b *testing.B) {
	in := read(b, large(1000))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for range in.Joined() {
			n++
		}
		if n != 499500 {
			b.Fatal(n)
		}
	}
}
