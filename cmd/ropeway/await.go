package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ropeway/internal/console"
	"ropeway/internal/rollout"
)

// How a rollout is waited for.
const (
	askAgain   = 300 * time.Millisecond
	goneAtMost = 2 * time.Minute // how long the controller may be gone meanwhile: it goes on where it was
)

// await shows how far the rollout of a revision is until it has come to its end, and returns an error where it went back.
func await(cmd *cobra.Command, r *remote, revision uint64) error {
	show := progressOn(cmd)
	given := r
	move := func(to *remote) { // away from a controller that is gone
		if r != given {
			r.http.CloseIdleConnections()
		}
		r = to
	}
	defer func() { move(given) }()
	missing := time.Time{}
	for {
		v, err := r.rollout(cmd)
		switch {
		case isGone(err) && cmd.Context().Err() == nil && (missing.IsZero() || time.Since(missing) < goneAtMost):
			if missing.IsZero() {
				missing = time.Now()
				show.line("The controller does not answer; the rollout goes on when one does.")
			}
			if other, err := connectTo(cmd); err == nil {
				move(other)
			}
		case err != nil:
			return err
		default:
			missing = time.Time{}
			if done, err := show.step(v, revision); done {
				return err
			}
		}
		select {
		case <-cmd.Context().Done():
			return problem("RW6000", "rollout", "it was not waited for; it goes on", "ropeway rollout status shows how far it is")
		case <-time.After(askAgain):
		}
	}
}

func isGone(err error) bool {
	var answer *connect.Error
	return errors.As(err, &answer) && (answer.Code() == connect.CodeUnavailable || answer.Code() == connect.CodeDeadlineExceeded)
}

// A progress shows a rollout: on a terminal a bar for each wave, drawn anew; elsewhere a line for each thing that happens.
type progress struct {
	out   io.Writer
	style console.Style
	bars  bool
	drawn int    // lines of bars
	last  string // line
}

func progressOn(cmd *cobra.Command) *progress {
	p := &progress{out: cmd.OutOrStdout(), style: styleOf(cmd, cmd.OutOrStdout())}
	if f, ok := p.out.(*os.File); ok {
		p.bars = term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
	}
	return p
}

// step shows what the rollout is now, and reports whether it has come to its end, and how.
func (p *progress) step(v *rolloutView, revision uint64) (done bool, err error) {
	if v == nil || v.Revision != revision {
		return true, problem("RW7305", fmt.Sprintf("rollout of revision %d", revision), "another change took its place", "ropeway rollout status shows that one")
	}
	if len(v.Waves) > 0 {
		p.draw(v)
	}
	switch rollout.State(v.State) {
	case rollout.Done:
		p.line(fmt.Sprintf("Revision %d is in force. ropeway get gateways shows who follows it.", v.Revision))
		if len(v.Away) > 0 {
			p.line("These were away and get it when they are back: " + fewNames(v.Away, len(v.Away)))
		}
		return true, nil
	case rollout.Failed, rollout.Aborted:
		return true, problem("RW7304", fmt.Sprintf("rollout of revision %d", v.Revision), fmt.Sprintf("%s; revision %d is what revision %d was", v.Why, v.Back, v.Base), "ropeway rollout status shows how far it came")
	}
	return false, nil
}

func (p *progress) draw(v *rolloutView) {
	if !p.bars {
		if v.Wave > 0 && v.active() {
			w := v.Waves[v.Wave-1]
			text := fmt.Sprintf("wave %d of %d: %d of %d ready", v.Wave, len(v.Waves), w.Ready, w.Size)
			if waits := w.waits(); waits != "" && w.Ready < w.Size {
				text += "; " + waits
			}
			if v.State == string(rollout.Paused) {
				text += "; paused"
			}
			p.line(text)
		}
		return
	}
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn) // up (ECMA-48, CUU)
	}
	for i, w := range v.Waves {
		waits := ""
		if uint32(i)+1 == v.Wave && v.active() && w.Ready < w.Size {
			waits = "  " + w.waits()
		}
		fmt.Fprintf(&b, "\r\x1b[Kwave %d of %d  %s %d/%d%s\n", i+1, len(v.Waves), p.bar(w), w.Ready, w.Size, p.style.Dim(cut(waits, barLine)))
	}
	p.drawn = len(v.Waves)
	_, _ = io.WriteString(p.out, b.String()) // where nobody looks any more the rollout goes on
}

const (
	barWidth = 24
	barLine  = 60 // characters of what follows a bar: a line that wraps cannot be drawn anew
)

func (p *progress) bar(w waveView) string {
	full := 0
	if w.Size > 0 {
		full = int(w.Ready) * barWidth / int(w.Size)
	}
	return p.style.Green(strings.Repeat("█", full)) + p.style.Dim(strings.Repeat("░", barWidth-full))
}

// cut shortens a line.
func cut(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// line writes a line, unless it was the last one.
func (p *progress) line(text string) {
	if text == p.last {
		return
	}
	p.last, p.drawn = text, 0
	_, _ = fmt.Fprintln(p.out, text)
}
