// Package frr carries out plan.BGP with FRR (https://frrouting.org, 8.4 and later): zebra, bfdd and bgpd of an instance of our own.
//
// The instance shares no file, socket or port of its command lines with another one on the machine. Two instances in one network namespace still share the kernel's
// routes: a zebra that starts takes away what another one put there, and that one puts it back at once.
//
// The daemons run as FRR's own user and outlive the agent. What they keep stands in a directory below ours that belongs to that user; what they were told stands in ours,
// which they may pass through and not change, since bgpd reads what neighbours send. The directory above ours is opened for passing through, too, and no other.
//
// Configuration is O(neighbours): what the place owns goes in as network statements, 10,000 in 0.3 s. Lists of prefixes are short, because FRR takes 30 ms for each line of
// one (see compile/speak.go, cover). What changes is told to the daemons line by line, so that a session of which nothing changed does not notice:
// bgpd's own lines by its socket, all others by vtysh, which knows who has to hear them.
package frr

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"ropeway/internal/bgp"
)

// Options of a Daemon.
type Options struct {
	Dir string // of sockets, process ids and logs; it need not survive a reboot. Its path is at most 80 bytes long, since sockets are in it
}

// Daemon is an instance of FRR. Make it with New.
type Daemon struct{ dir string }

// New returns an instance with its files in a directory. It touches nothing.
func New(opts Options) *Daemon { return &Daemon{opts.Dir} }

var _ bgp.Daemon = (*Daemon)(nil)

// Apply implements bgp.Daemon.
func (d *Daemon) Apply(ctx context.Context, want *bgp.Config) ([]string, error) {
	if err := d.trim(); err != nil {
		return nil, err
	}
	w, err := d.compare(ctx, want)
	if err != nil || w.nothing() {
		return nil, err
	}
	if err := d.judge(ctx, w.next); err != nil {
		return nil, err
	}
	if err := d.makeDirs(); err != nil {
		return nil, err
	}
	for _, name := range slices.Backward(w.ailing) {
		if err := d.end(ctx, name); err != nil {
			return nil, err
		}
	}
	for _, name := range w.ailing {
		if err := d.launch(ctx, name, retainRoutes); err != nil {
			return nil, err
		}
	}
	if err := d.remember(w.next, false); err != nil {
		return nil, err
	}
	if err := d.carryOut(ctx, w, secrets(want)); err != nil {
		return nil, err
	}
	if err := d.remember(w.next, true); err != nil {
		return nil, err
	}
	return w.changes(want), d.readmit(ctx, w)
}

// carryOut tells the daemons what they do not have and takes back what they have beside it. bgpd's own lines name what the others define: they come after those, and go before.
func (d *Daemon) carryOut(ctx context.Context, w *work, passwords map[string]string) error {
	routers, others := partition(w.come)
	if err := d.tell(ctx, write(others, nil), false); err != nil {
		return err
	}
	if err := d.dictate(ctx, write(routers, passwords), false); err != nil {
		return err
	}
	routers, others = partition(forget(w.gone, w.next))
	if err := d.dictate(ctx, write(routers, nil), !w.sure); err != nil {
		return err
	}
	return d.tell(ctx, write(others, nil), !w.sure)
}

// Plan implements bgp.Daemon.
func (d *Daemon) Plan(ctx context.Context, want *bgp.Config) ([]string, error) {
	w, err := d.compare(ctx, want)
	if err != nil || w.nothing() {
		return nil, err
	}
	return w.changes(want), d.judge(ctx, w.next)
}

// Stop implements bgp.Daemon.
func (d *Daemon) Stop(ctx context.Context) error {
	if !exists(d.dir) {
		return nil
	}
	left := d.pid("zebra") == 0 // a zebra that was killed has left its routes
	for _, name := range slices.Backward(daemons()) {
		if err := d.end(ctx, name); err != nil {
			return err
		}
	}
	if left {
		if err := d.sweep(ctx); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("remove FRR's files: %w", err)
	}
	return nil
}

// A work is what has to be done for an instance to be what is wanted.
type work struct {
	ailing []string          // daemons to start, in order
	why    map[string]string // of those that run and have to be ended first
	next   *script
	come   []line // to be told
	gone   []line // to be taken back
	sure   bool   // the lines that go are known to be there
}

func (w *work) nothing() bool { return len(w.ailing)+len(w.come)+len(w.gone) == 0 }

// compare finds what there is to do.
func (d *Daemon) compare(ctx context.Context, want *bgp.Config) (*work, error) {
	if err := check(want); err != nil {
		return nil, err
	}
	t, err := d.told()
	if err != nil {
		return nil, err
	}
	w := &work{why: map[string]string{}, next: render(want), sure: t.sure && t.same}
	for _, name := range daemons() {
		if pid := d.pid(name); pid == 0 {
			w.ailing = append(w.ailing, name)
		} else if why := d.ails(ctx, name, t, w); why != "" {
			w.ailing, w.why[name] = append(w.ailing, name), why
		}
	}
	if slices.Contains(w.ailing, "bgpd") {
		t.lines = nil // zebra and bfdd may keep what they know: nobody names it
	}
	w.come, w.gone = difference(t.lines, w.next.lines)
	if w.sure = w.sure && len(w.ailing) == 0; !w.sure {
		w.come = w.next.lines
	}
	return w, nil
}

// ails tells why a daemon that runs has to be started again; "": it need not.
func (d *Daemon) ails(ctx context.Context, name string, t *told, w *work) string {
	switch {
	case len(w.ailing) > 0 && w.ailing[0] == "zebra":
		return "zebra is another" // bgpd finds it after 10 s or a minute, and then does not tell it the routes that the one before it knew
	case !d.answers(ctx, name):
		return "it does not answer"
	case name != "bgpd":
		return ""
	case !t.ofBGP:
		return "nobody knows what it was told"
	case t.router() != w.next.router:
		return "it has another AS number" // and cannot be told another one
	}
	return ""
}

// changes describes a work for people.
func (w *work) changes(want *bgp.Config) (out []string) {
	for _, name := range w.ailing {
		if why := w.why[name]; why != "" {
			name += " again: " + why
		}
		out = append(out, "start "+name)
	}
	if len(w.come) == len(w.next.lines) {
		out = append(out, fmt.Sprintf("configure %d neighbours and %d prefixes", len(want.Neighbors), len(want.Own)))
	}
	for _, l := range w.gone {
		out = append(out, "remove "+l.String())
	}
	if len(w.come) < len(w.next.lines) {
		for _, l := range w.come {
			out = append(out, "set "+l.String())
		}
	}
	return out
}

// readmit lets neighbours in again that told too much and may tell more now: FRR would wait a minute.
func (d *Daemon) readmit(ctx context.Context, w *work) error {
	if slices.Contains(w.ailing, "bgpd") {
		return nil
	}
	for _, l := range w.come {
		neighbor, limit := strings.CutSuffix(l.key, " maximum-prefix")
		if !limit {
			continue
		}
		address := strings.TrimPrefix(neighbor, "neighbor ")
		text, err := d.ask(ctx, "bgpd", "show bgp neighbors "+address+" json")
		if err != nil {
			return err
		}
		if up, err := isEstablished(text, address); err != nil {
			return err
		} else if up {
			continue
		}
		if _, err := d.ask(ctx, "bgpd", "clear bgp "+address); err != nil {
			return fmt.Errorf("let neighbour %s in again: %w", address, err)
		}
	}
	return nil
}
