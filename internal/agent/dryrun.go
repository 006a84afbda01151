package agent

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ropeway/internal/identity"
	"ropeway/internal/key"
	"ropeway/internal/logs"
	"ropeway/internal/plan"
)

// DryRun writes what Run would change now, a line each under the name of its step, and changes nothing: no key or directory is
// made, no lock is taken, and an agent that runs is not disturbed.
func DryRun(ctx context.Context, opts Options, w io.Writer) error {
	a, err := New(opts)
	if err != nil {
		return err
	}
	defer func() { _ = a.machine.firewall.Close() }()
	var made *key.Private // stands for the key that Run would make
	a.source.keyOf = func(d *plan.Device) (key.Private, error) {
		k, _, err := a.machine.keys.Of(d.Name)
		if !errors.Is(err, identity.ErrMissing) || !d.PublicKey.IsZero() {
			return k, err
		}
		if made == nil {
			if k, err = key.NewPrivate(); err != nil {
				return key.Private{}, err
			}
			made = &k
		}
		return *made, nil
	}
	var out report
	if err := a.machine.drain.restore(); err != nil {
		out.line("%s", err)
	}
	if err := a.source.restore(); err != nil {
		out.line("%s", err)
	}
	doc, _, err := a.source.read()
	if err != nil {
		return err
	}
	want := &doc.Gateway
	stored := a.machine.privateKeys(want)
	differ, err := a.machine.differences(ctx, want, func(device string) (key.Private, error) {
		k, err := stored(device)
		if made != nil && errors.Is(err, identity.ErrMissing) {
			return *made, nil
		}
		return k, err
	})
	out.line("plan %s of gateway %s", doc.Revision, want.Name)
	total := 0
	if made != nil {
		total++
		out.line("  keys: make a private key in %s", a.machine.keys.Path(identity.Gateway))
	}
	for _, s := range a.machine.steps() {
		total += len(differ[s.name])
		for _, line := range differ[s.name] {
			out.line("  %s: %s", s.name, line)
		}
	}
	out.line("%d changes, none of them made", total)
	_, errWrite := w.Write(out.text)
	return errors.Join(err, errWrite)
}

// A report is text whose every line is printable.
type report struct{ text []byte }

func (r *report) line(format string, args ...any) {
	r.text = append(r.text, logs.Printable(fmt.Sprintf(format, args...))...)
	r.text = append(r.text, '\n')
}
