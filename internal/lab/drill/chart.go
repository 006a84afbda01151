package drill

import (
	"fmt"
	"html"
	"math"
	"strings"
	"unicode/utf8"
)

// The measures of a chart, in pixels.
const (
	rowHeight  = 24.0
	plotWidth  = 560.0
	header     = 64.0
	footer     = 44.0
	margin     = 20.0
	letter     = 7.0   // of a label, about
	counts     = 190.0 // room on the right of the plot
	dotRadius  = 4.0
	mostSpread = 7.0 // dots of a row stand above and below its middle, so that equal ones are seen
)

// Chart draws a report as an SVG: a row for each pair, a dot for each blackout, and what became of the pair in words. The same report gives the same bytes.
func Chart(r *Report) []byte {
	names, widest := make([]string, len(r.Pairs)), 0
	for i, p := range r.Pairs {
		names[i] = p.From + " → " + p.To
		widest = max(widest, utf8.RuneCountInString(names[i]))
	}
	left := margin + letter*float64(widest) + 12
	bottom := header + rowHeight*float64(len(r.Pairs))
	width, height := left+plotWidth+counts+margin, bottom+footer
	top, step := axis(r.Max)
	at := func(ms float64) float64 { return left + ms/top*plotWidth }

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %[1]f %[2]f" font-family="system-ui, sans-serif" font-size="12" fill="#1f2933" role="img" aria-label="%s">`+"\n",
		width, height, html.EscapeString(title(r)))
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#ffffff"/>`+"\n")
	fmt.Fprintf(&b, `<text x="%.0f" y="26" font-size="15" font-weight="600">%s</text>`+"\n", margin, html.EscapeString(title(r)))
	fmt.Fprintf(&b, `<text x="%.0f" y="46" fill="#52606d">%s</text>`+"\n", margin, html.EscapeString(subtitle(r)))
	for ms := 0.0; ms <= top; ms += step {
		fmt.Fprintf(&b, `<path d="M%.1f %.1fV%.1f" stroke="#e4e7eb"/><text x="%.1f" y="%.1f" text-anchor="middle" fill="#52606d">%g</text>`+"\n", at(ms), header, bottom, at(ms), bottom+16, ms)
	}
	fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="#52606d">blackout, ms</text>`+"\n", left+plotWidth/2, bottom+34)
	for _, mark := range []struct {
		name, anchor string // on its own side of the line, so that the two never lie on each other
		at           *float64
	}{{"p50 ", "end", r.P50}, {" p99", "start", r.P99}} {
		if mark.at != nil {
			fmt.Fprintf(&b, `<path d="M%.1f %.1fV%.1f" stroke="#d64545" stroke-dasharray="4 3"/><text x="%.1f" y="%.1f" text-anchor="%s" fill="#d64545" xml:space="preserve">%s</text>`+"\n",
				at(*mark.at), header, bottom, at(*mark.at), header-4, mark.anchor, mark.name)
		}
	}
	for i, p := range r.Pairs {
		middle := header + rowHeight*(float64(i)+0.5)
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="end">%s</text>`+"\n", left-12, middle+4, html.EscapeString(names[i]))
		for n, run := range r.Runs {
			if ms := run.Results[i].Blackout; ms != nil {
				fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="%g" fill="#0967d2" fill-opacity="0.55"><title>%s: %g ms</title></circle>`+"\n",
					at(*ms), middle+spread(n), dotRadius, html.EscapeString(run.Lost), *ms)
			}
		}
		colour := "#52606d"
		if !p.Agree {
			colour = "#d64545"
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n", left+plotWidth+14, middle+4, colour, inWords(p))
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

func title(r *Report) string { return fmt.Sprintf("%s: %s in %d runs", r.Lab, r.Drill, len(r.Runs)) }

func subtitle(r *Report) string {
	prediction := "every pair did as predicted"
	if !r.OK {
		prediction = "not every pair did as predicted"
	}
	if r.P50 == nil {
		return "no pair was interrupted and came back; " + prediction
	}
	return fmt.Sprintf("%d blackouts: p50 %g ms, p99 %g ms, longest %g ms; %s", r.Recovered, *r.P50, *r.P99, *r.Max, prediction)
}

func inWords(p Pair) string {
	out := fmt.Sprintf("%d kept, %d recovered, %d lost", p.Kept, p.Recovered, p.Lost)
	if !p.Agree {
		out += " ✗"
	}
	return out
}

// axis returns where the axis ends, and how far apart its marks are: 1, 2 or 5 times a power of ten, at most ten of them.
func axis(longest *float64) (top, step float64) {
	most := 100.0
	if longest != nil {
		most = max(most, *longest)
	}
	step = math.Pow(10, math.Floor(math.Log10(most))-1)
	for _, factor := range []float64{1, 2, 5, 10} {
		if most <= 10*step*factor {
			step *= factor
			break
		}
	}
	return math.Ceil(most/step) * step, step
}

// spread puts the dots of runs on five heights.
func spread(run int) float64 { return mostSpread * (float64(run%5) - 2) / 2 }
