package agent

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"ropeway/internal/cloud"
	"ropeway/internal/diag"
	"ropeway/internal/logs"
	"ropeway/internal/metrics"
	"ropeway/internal/plan"
)

// A gateway that holds a part of its place's route table (plan.Table) asks nobody: it sees which siblings are there, and has lead to itself what falls to it. What is its
// own it asserts now and then; what it took over from a sibling it asserts once. So where two gateways take each other for gone, because the LAN between them is cut,
// each ends with what is its own.
const (
	lookForSiblings = 250 * time.Millisecond
	assertEvery     = 30 * time.Second
	comeWithin      = 10 * time.Second // a sibling that was not seen yet may take so long to be seen
	tryAgain        = time.Second      // after a failure
)

// TableStatus is a gateway's part in its place's route table, as it is.
type TableStatus struct {
	Siblings  []SiblingStatus `json:"siblings"`
	Holds     []string        `json:"holds"`               // places whose routes were made to lead here
	LastError string          `json:"lastError,omitempty"` // why the table is not as it should be
}

// SiblingStatus is another gateway of the place, as it is.
type SiblingStatus struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	There   bool       `json:"there"`
}

// A holder keeps a gateway's part of its place's route table. One goroutine uses it, status apart.
type holder struct {
	table   cloud.RouteTable // nil: nobody said how it is changed
	watched func(context.Context, *plan.BGP) (map[netip.Addr]string, error)
	forward func(netip.Addr) bool // whether the machine would send packets for an address by a tunnel
	drained func() bool
	log     *slog.Logger

	of      *plan.Table // that the rest is about
	since   time.Time
	met     map[string]bool      // siblings that were there
	held    map[string]time.Time // when a route was last asserted, by the place that it leads to
	retry   time.Time
	trouble string // why the last try failed; "": it did not, or there is nothing to do

	mu     sync.Mutex // guards status
	status *TableStatus
}

// look does what is due.
func (h *holder) look(ctx context.Context, self string, want *plan.BGP) {
	if want == nil || want.Table == nil {
		h.of = nil
		h.note(nil)
		return
	}
	h.begin(want.Table)
	there, siblings := h.siblings(ctx, self, want)
	switch due := h.due(self, there); {
	case len(due) == 0:
		h.trouble = ""
	case !time.Now().Before(h.retry):
		h.trouble = ""
		if err := h.lead(ctx, self, due); err != nil {
			h.trouble, h.retry = logs.Printable(err.Error()), time.Now().Add(tryAgain)
		}
	}
	h.note(&TableStatus{Siblings: siblings, Holds: slices.Sorted(maps.Keys(h.held)), LastError: h.trouble})
}

// begin forgets what was known of another table. What siblings were there is known still.
func (h *holder) begin(t *plan.Table) {
	if h.of == t {
		return
	}
	if h.of == nil {
		h.since, h.met = time.Now(), map[string]bool{}
	}
	h.of, h.held, h.retry, h.trouble = t, map[string]time.Time{}, time.Time{}, ""
}

// siblings returns who is there, this gateway among them where its daemon runs and it is not drained.
func (h *holder) siblings(ctx context.Context, self string, want *plan.BGP) (there map[string]bool, out []SiblingStatus) {
	states, err := h.watched(ctx, want)
	there = map[string]bool{self: err == nil && !h.drained()}
	for _, s := range want.Table.Siblings {
		up := states[s.Address] == "up"
		if up {
			h.met[s.Name] = true
		}
		there[s.Name] = up || !h.met[s.Name] && time.Since(h.since) < comeWithin
		out = append(out, SiblingStatus{s.Name, s.Address, up})
	}
	if !slices.Contains(slices.Collect(maps.Values(there)), true) {
		there[self] = err == nil // whoever is drained forwards where nobody else does
	}
	return there, out
}

// due returns the routes that fall to this gateway, are to be asserted now, and that it has a way to. It forgets those that do not fall to it. The kernel is asked for the
// ways of these alone: of all it would be asked four times a second.
func (h *holder) due(self string, there map[string]bool) (out []*plan.RouterRoute) {
	for _, r := range h.of.Routes {
		if r.Holder(func(name string) bool { return there[name] }) != self {
			delete(h.held, r.To)
			continue
		}
		at, held := h.held[r.To]
		if held && (r.Gateway != self || time.Since(at) < assertEvery) {
			continue
		}
		if slices.ContainsFunc(r.Prefixes, func(p netip.Prefix) bool { return h.forward(p.Addr()) }) {
			out = append(out, r)
		}
	}
	return out
}

// lead makes routes lead here.
func (h *holder) lead(ctx context.Context, self string, routes []*plan.RouterRoute) error {
	if h.table == nil {
		return diag.Problem{
			Code: "RW4030", Severity: diag.Error, Subject: "route table of the place", Message: "falls in part to this gateway, and nobody said how it is changed",
			Hint: "run the agent with --route-table PROGRAM, or take takeOver from the place",
		}
	}
	var all []netip.Prefix
	for _, r := range routes {
		all = append(all, r.Prefixes...)
	}
	changed, err := h.table.Lead(ctx, self, all)
	if err != nil {
		return diag.Problem{
			Code: "RW4031", Severity: diag.Error, Subject: "route table of the place", Message: "cannot be changed: " + logs.Printable(err.Error()),
			Hint: "it is tried again every second; see that the program may change the table",
		}
	}
	for _, r := range routes {
		h.held[r.To] = time.Now()
	}
	if len(changed) > 0 {
		const most = 5
		h.log.Info("the place's route table leads here", "prefixes", fmt.Sprint(changed[:min(most, len(changed))]), "more", max(0, len(changed)-most))
	}
	return nil
}

// note keeps the status, and logs an error that is new.
func (h *holder) note(status *TableStatus) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last, now := cmp.Or(h.status, &TableStatus{}).LastError, cmp.Or(status, &TableStatus{}).LastError
	h.status = status
	if now != "" && now != last {
		h.log.Error("the place's route table is not as it should be", "error", now)
	}
}

// seen returns the last status; nil where the table is not this gateway's to hold.
func (h *holder) seen() *TableStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status
}

// reasons returns what is the matter with it.
func (s *TableStatus) reasons() []string {
	if s == nil || s.LastError == "" {
		return nil
	}
	return []string{s.LastError}
}

// expose writes what is known of the table; nothing where it is not the gateway's to hold.
func (s *TableStatus) expose(t *metrics.Text) {
	if s == nil {
		return
	}
	t.Family("ropeway_table_held", metrics.Gauge, "1 for each place whose routes in the route table of the gateway's place were made to lead here.")
	for _, to := range s.Holds {
		t.Sample(1, metrics.Label{Name: "to", Value: to})
	}
	t.Family("ropeway_table_sibling_up", metrics.Gauge, "1 where another gateway of the place is there, as BFD sees it.")
	for _, x := range s.Siblings {
		t.Sample(truth(x.There), metrics.Label{Name: "gateway", Value: x.Name})
	}
	t.Family("ropeway_table_failed", metrics.Gauge, "1 where the route table cannot be changed as it should be.")
	t.Sample(truth(s.LastError != ""))
}

// hold keeps the gateway's part of its place's route table until ctx ends.
func (a *Agent) hold(ctx context.Context) {
	for sleep(ctx, lookForSiblings) {
		a.mu.Lock()
		want := a.record.wanted
		a.mu.Unlock()
		if want != nil {
			a.holder.look(ctx, want.Gateway.Name, want.Gateway.BGP)
		}
	}
}
