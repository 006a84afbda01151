package main

import (
	"fmt"
	"strings"

	"ropeway/internal/console"
	"ropeway/internal/verify"
)

// writeWalk writes one direction of a trace: the packet, a block for each hop, the end.
func writeWalk(b *strings.Builder, s console.Style, w *verify.Walk) {
	fmt.Fprintf(b, "%s\n", s.Bold(fmt.Sprintf("%s → %s %s", w.Source, w.Destination, w.Service)))
	for i, h := range w.Hops {
		fmt.Fprintf(b, "%3d  %s\n", i+1, h.At)
		for _, fact := range []struct{ name, text string }{{"route", h.Route}, {"peer", h.Peer}, {"rule", h.Rule}} {
			if fact.text != "" {
				fmt.Fprintf(b, "     %s %s\n", s.Dim(fmt.Sprintf("%-5s", fact.name)), fact.text)
			}
		}
		decision := s.Green
		if strings.HasPrefix(h.Decision, "drop") {
			decision = s.Red
		}
		fmt.Fprintf(b, "     %s\n", decision(h.Decision))
	}
	if d := w.DroppedBy; d != nil {
		fmt.Fprintf(b, "%s at %s (%s): %s\n", s.Red("dropped"), d.At, d.Reason, d.Detail)
		return
	}
	fmt.Fprintf(b, "%s by %s, up to %d bytes\n", s.Green("delivered"), way(w.Gateways), w.MTU)
}

// way writes the gateways of a path.
func way(gateways []string) string {
	if len(gateways) == 0 {
		return "no gateway"
	}
	return strings.Join(gateways, " → ")
}
