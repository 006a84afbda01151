package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"ropeway/internal/lab"
)

// BenchmarkLabUp brings three regions with two gateways each and a site behind NAT up, every link with a session. The bar is 20 s.
func BenchmarkLabUp(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root")
	}
	file := "../examples/three-regions.yaml"
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		l, silent, err := lab.Up(b.Context(), file, text, lab.Options{
			Name: labName(fmt.Sprintf("bench%d", i)), Agent: filepath.Join(programs, "ropeway-gateway"),
			Responder: []string{filepath.Join(programs, "ropeway"), "lab", "serve"},
		})
		if err != nil || len(silent) > 0 {
			b.Fatalf("%v, silent links %v", err, silent)
		}
		b.StopTimer()
		if err := l.Down(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
