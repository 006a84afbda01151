package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/diag"
)

// How often somebody who watches asks. An answer that says that nothing changed costs the controller a comparison.
const (
	askEvery   = time.Second
	askAnyhow  = 30 * time.Second // what no controller counts as a change, such as when a gateway was heard last
	sessionMax = time.Hour        // then the certificate may be renewed
	comeBack   = 2 * time.Second  // after a controller went away
)

// look shows something once, or again and again until interrupted, as a page that picture makes.
func look(cmd *cobra.Command, watch bool, picture func(context.Context, *viewer) (string, error)) error {
	w := &watcher{cmd: cmd, picture: picture}
	if !watch {
		return talk(cmd, func(r *remote) error { return w.once(cmd.Context(), &viewer{remote: r, cmd: cmd}) })
	}
	for {
		err := talk(cmd, func(r *remote) error { return w.follow(cmd.Context(), &viewer{remote: r, cmd: cmd}) })
		switch {
		case cmd.Context().Err() != nil:
			return nil //nolint:nilerr // interrupted: so watching ends
		case err == nil: // the session was long enough
			continue
		case !w.shown || !gone(err):
			return err
		}
		_ = report(cmd, cmd.ErrOrStderr(), err) // the code is for whoever ends
		if !pause(cmd.Context(), comeBack) {
			return nil
		}
	}
}

// gone reports whether an error says that the controller is away, which passes.
func gone(err error) bool {
	var p diag.Problem
	return errors.As(err, &p) && p.Code == "RW7007"
}

// A watcher shows pages, each that differs from the last.
type watcher struct {
	cmd     *cobra.Command
	picture func(context.Context, *viewer) (string, error)
	last    string
	shown   bool
}

// follow shows what there is whenever it changes.
func (w *watcher) follow(ctx context.Context, v *viewer) error {
	for begun := time.Now(); time.Since(begun) < sessionMax; {
		if err := w.once(ctx, v); err != nil {
			return err
		}
		for shown := time.Now(); time.Since(shown) < askAnyhow; {
			if !pause(ctx, askEvery) {
				return nil
			}
			answer, err := v.remote.fabric.ListGateways(ctx, &ropewayv1.ListGatewaysRequest{Since: v.answer.State})
			if err != nil {
				return err
			}
			if !answer.Unchanged {
				break
			}
		}
	}
	return nil
}

func (w *watcher) once(ctx context.Context, v *viewer) (err error) {
	if v.answer, err = v.remote.fabric.ListGateways(ctx, &ropewayv1.ListGatewaysRequest{}); err != nil {
		return err
	}
	text, err := w.picture(ctx, v)
	if err != nil || w.shown && text == w.last {
		return err
	}
	lead := ""
	if w.shown {
		lead = between(w.cmd)
	}
	w.shown, w.last = true, text
	return say(w.cmd, "%s%s", lead, text)
}

// between is what stands between two pages: a terminal is cleared (ECMA-48: CUP, ED), a file gets an empty line.
func between(cmd *cobra.Command) string {
	if f, ok := cmd.OutOrStdout().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return "\x1b[H\x1b[2J"
	}
	return "\n"
}

// pause waits, and reports false where ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
