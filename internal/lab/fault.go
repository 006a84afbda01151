package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ropeway/internal/diag"
	"ropeway/internal/lab/world"
	"ropeway/internal/plan"
)

// A FaultKind says what is broken.
type FaultKind string

// What a lab can break.
const (
	GatewayKill   FaultKind = "gateway-kill"   // the machine is dead: no process, no interface
	GatewayFreeze FaultKind = "gateway-freeze" // the machine stands still: nothing of it runs or forwards, and nobody is told
	LinkCut       FaultKind = "link-cut"       // nothing passes the underlay between two places or two gateways
	LinkOneWay    FaultKind = "link-oneway"    // nothing passes the underlay from one place or gateway to another; the other direction does
	RouteDrop     FaultKind = "route-drop"     // a gateway has lost a route, and its agent is held so that it stays lost
	UnderlayMTU   FaultKind = "underlay-mtu"   // the path between two places carries another size
	ICMPBlock     FaultKind = "icmp-block"     // the underlay drops ICMP, everywhere or between two places or gateways
	AgentKill     FaultKind = "agent-kill"     // the agent of a gateway is dead, and nobody starts it again
	AgentStop     FaultKind = "agent-stop"     // the agent of a gateway hangs

	ControllerKill      FaultKind = "controller-kill"      // a controller is dead
	ControllerStop      FaultKind = "controller-stop"      // a controller hangs
	ControllerPartition FaultKind = "controller-partition" // a controller is cut off from everybody
	RegionPartition     FaultKind = "region-partition"     // a place is cut off from all others, and from their controllers
	DiskFull            FaultKind = "disk-full"            // there is no room on a controller's disk
	ClockSkew           FaultKind = "clock-skew"           // a controller's clock is wrong
)

// Everybody stands for all controllers where a fault names one.
const Everybody = "all"

// A Fault is something that is broken in a lab until it is undone.
type Fault struct {
	ID     int           `json:"id"`
	Kind   FaultKind     `json:"kind"`
	A      string        `json:"a,omitempty"` // a gateway, a controller, or a place
	B      string        `json:"b,omitempty"`
	Prefix netip.Prefix  `json:"prefix,omitzero"`
	MTU    int           `json:"mtu,omitempty"`
	Offset time.Duration `json:"offset,omitempty"` // of a clock; positive: it is fast
}

// String returns the fault as it is written on the command line.
func (f Fault) String() string {
	out := string(f.Kind)
	for _, word := range []string{f.A, f.B} {
		if word != "" {
			out += " " + word
		}
	}
	if f.Prefix.IsValid() {
		out += " " + f.Prefix.String()
	}
	if f.MTU != 0 {
		out += fmt.Sprintf(" %d", f.MTU)
	}
	if f.Offset != 0 {
		sign := "+"
		if f.Offset < 0 {
			sign = "" // it has its own
		}
		out += " " + sign + f.Offset.String()
	}
	return out
}

// Faults returns what is broken, oldest first.
func (l *Lab) Faults() []Fault { return slices.Clone(l.record.Faults) }

// Break adds a fault. It returns RW5009 where the fault names what is not there, or is active already, and changes nothing then.
func (l *Lab) Break(ctx context.Context, f Fault) (Fault, error) {
	err := l.alone(func(st *site) error { return l.breakIn(ctx, st, &f) })
	return f, err
}

func (l *Lab) breakIn(ctx context.Context, st *site, f *Fault) error {
	return l.change(ctx, st, func() error {
		if err := l.sensible(*f); err != nil {
			return err
		}
		l.record.Counter++
		f.ID = l.record.Counter
		l.record.Faults = append(l.record.Faults, *f)
		return nil
	})
}

// Mend takes faults away: those of the numbers, or all of them where none is named.
func (l *Lab) Mend(ctx context.Context, ids ...int) (mended []Fault, err error) {
	err = l.alone(func(st *site) error {
		mended, err = l.mendIn(ctx, st, ids...)
		return err
	})
	return mended, err
}

func (l *Lab) mendIn(ctx context.Context, st *site, ids ...int) ([]Fault, error) {
	var mended []Fault
	err := l.change(ctx, st, func() error {
		var rest []Fault
		for _, f := range l.record.Faults {
			if len(ids) == 0 || slices.Contains(ids, f.ID) {
				mended = append(mended, f)
			} else {
				rest = append(rest, f)
			}
		}
		if len(mended) < len(ids) {
			return problem("RW5009", "lab "+l.Name, fmt.Sprintf("it has no faults of the numbers %v", ids), "ropeway lab fault list shows what is broken")
		}
		l.record.Faults = rest
		return nil
	})
	return mended, err
}

// change changes the list of faults, and then sets the lab to what it says. The record is written between: whoever kills a
// command here finds the fault in the list, and mending it sets right whatever had been done of it.
func (l *Lab) change(ctx context.Context, st *site, edit func() error) error {
	before := slices.Clone(l.record.Faults)
	if err := edit(); err != nil {
		return err
	}
	if err := l.record.write(); err != nil {
		return err
	}
	return l.settle(ctx, st, before)
}

// sensible refuses a fault that names what is not there.
func (l *Lab) sensible(f Fault) error {
	bad := func(message, hint string) error {
		return problem("RW5009", "fault "+diag.Quote(f.String()), message, hint)
	}
	pair := func() bool {
		places := l.in.Place(f.A) != nil && l.in.Place(f.B) != nil
		gateways := l.record.Plan.Gateway(f.A) != nil && l.record.Plan.Gateway(f.B) != nil
		return f.A != f.B && (places || gateways)
	}
	if slices.ContainsFunc(l.record.Faults, func(o Fault) bool { o.ID = f.ID; return o == f }) {
		return bad("it is active already", "ropeway lab fault list shows what is broken")
	}
	switch f.Kind {
	case GatewayKill, GatewayFreeze, AgentKill, AgentStop:
		if l.record.Plan.Gateway(f.A) == nil {
			return bad("the lab has no such gateway", "names are as in the fabric file")
		}
	case LinkCut, LinkOneWay:
		if !pair() {
			return bad("the lab has no such two places or gateways", "name two places, or two gateways")
		}
	case ICMPBlock:
		if (f.A != "" || f.B != "") && !pair() {
			return bad("the lab has no such two places or gateways", "name two places, two gateways, or nothing for everywhere")
		}
	case RegionPartition:
		if l.in.Place(f.A) == nil {
			return bad("the lab has no such region or site", "names are as in the fabric file")
		}
	case ControllerKill, ControllerStop, ControllerPartition, DiskFull, ClockSkew:
		return l.sensibleController(f, bad)
	case RouteDrop:
		return l.sensibleRoute(f, bad)
	case UnderlayMTU:
		return l.sensibleMTU(f, bad)
	default:
		return bad("there is no such fault", "ropeway lab fault --help lists them")
	}
	return nil
}

// mostSkew bounds how wrong a clock can be made: certificates last a day.
const mostSkew = 30 * 24 * time.Hour

func (l *Lab) sensibleController(f Fault, bad func(message, hint string) error) error {
	seats := l.record.World.Controllers()
	known := f.Kind == ControllerKill && f.A == Everybody && len(seats) > 0
	var names []string
	for _, s := range seats {
		names = append(names, s.Name)
		known = known || s.Name == f.A
	}
	switch {
	case len(seats) == 0:
		return bad("the lab has no controllers", "ropeway lab up FILE --controllers 1")
	case !known:
		return bad("the lab has no such controller", "there are "+strings.Join(names, ", "))
	case f.Kind == ClockSkew && (f.Offset == 0 || f.Offset.Abs() > mostSkew || f.Offset%time.Second != 0):
		return bad("not an offset for a clock", "want whole seconds, up to "+mostSkew.String())
	}
	return nil
}

func (l *Lab) sensibleRoute(f Fault, bad func(message, hint string) error) error {
	g := l.record.Plan.Gateway(f.A)
	if g == nil {
		return bad("the lab has no such gateway", "names are as in the fabric file")
	}
	for _, r := range g.Routes {
		if slices.Contains(r.Prefixes, f.Prefix) {
			return nil
		}
	}
	return bad("the gateway has no such route", "ropeway lab exec "+g.Name+" -- ip route show proto 114")
}

// sensibleMTU wants an MTU that the path can have: no wire is wider than the lab's, IPv4 needs 68 bytes (RFC 791), and a kernel
// that forwards IPv6 takes less than 1280 for 1280 (RFC 8200, section 5).
func (l *Lab) sensibleMTU(f Fault, bad func(message, hint string) error) error {
	i := slices.IndexFunc(l.record.World.Paths, func(p world.Path) bool { return p.From == f.A && p.To == f.B })
	if i < 0 {
		return bad("the plan joins no such two places", "name two places that have a link")
	}
	least, most := 68, l.record.World.Wires[0].MTU
	if l.outerIPv6(f.A, f.B) {
		least = 1280
	}
	if f.MTU < least || f.MTU > most {
		return bad("the path cannot carry that", fmt.Sprintf("want %d to %d bytes", least, most))
	}
	return nil
}

// outerIPv6 reports whether some tunnel between two places may have IPv6 outside.
func (l *Lab) outerIPv6(a, b string) bool {
	for _, g := range l.record.Plan.Gateways {
		for _, d := range g.Devices {
			for _, p := range d.Peers {
				far := l.record.Plan.Gateway(p.Gateway)
				if far != nil && (g.Place == a && far.Place == b || g.Place == b && far.Place == a) && p.Overhead > 60 {
					return true
				}
			}
		}
	}
	return false
}

// settle sets the lab to its faults. before is what they were. The underlay is set as a whole; gateways are touched where
// something about them changed.
func (l *Lab) settle(ctx context.Context, st *site, before []Fault) error {
	now := l.record.Faults
	if err := st.setUnderlay(ctx, now); err != nil {
		return err
	}
	if err := st.forgetPaths(); err != nil {
		return err
	}
	for _, settle := range []func(context.Context, *site, string, condition, condition) error{l.rouse, l.settleGateway} { // all are back before one waits for another
		for _, g := range l.record.Plan.Gateways {
			was, is := stateOf(g, before), stateOf(g, now)
			if was.equal(is) {
				continue
			}
			if err := settle(ctx, st, g.Name, was, is); err != nil {
				return fmt.Errorf("gateway %s: %w", g.Name, err)
			}
		}
	}
	return l.settleControllers(ctx, before)
}

// settleControllers sets all controllers to the faults, and then waits for those that have to serve.
func (l *Lab) settleControllers(ctx context.Context, before []Fault) error {
	var awaited []world.Seat
	for _, s := range l.record.World.Controllers() {
		was, is := controllerUnder(s, before), controllerUnder(s, l.record.Faults)
		if was == is {
			continue
		}
		if err := l.settleController(ctx, s, was, is); err != nil {
			return fmt.Errorf("controller %s: %w", s.Name, err)
		}
		if l.awaitsController(is) {
			awaited = append(awaited, s)
		}
	}
	for _, s := range awaited {
		if err := l.awaitController(ctx, s); err != nil {
			return fmt.Errorf("controller %s: %w", s.Name, err)
		}
	}
	return nil
}

// A condition is what faults make of one gateway.
type condition struct {
	dead   bool
	frozen bool
	agent  agentState
	lost   []netip.Prefix
}

// An agentState is what faults make of an agent. The worse is the greater.
type agentState int

const (
	agentRuns agentState = iota
	agentHeld
	agentDead
)

func (c condition) equal(o condition) bool {
	return c.dead == o.dead && c.frozen == o.frozen && c.agent == o.agent && slices.Equal(c.lost, o.lost)
}

func stateOf(g *plan.Gateway, faults []Fault) condition {
	var c condition
	for _, f := range faults {
		if f.A != g.Name {
			continue
		}
		switch f.Kind {
		case GatewayKill:
			c.dead = true
		case GatewayFreeze:
			c.frozen = true
		case RouteDrop:
			c.lost = append(c.lost, f.Prefix)
			c.agent = max(c.agent, agentHeld)
		case AgentStop:
			c.agent = max(c.agent, agentHeld)
		case AgentKill:
			c.agent = agentDead
		}
	}
	return c
}

// reviveTimeout is how long a gateway that was given back may take to be as its plan says.
const reviveTimeout = 15 * time.Second
