package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/compile"
	"ropeway/internal/courier"
	"ropeway/internal/files"
	"ropeway/internal/intent"
	"ropeway/internal/lab/world"
	"ropeway/internal/member"
	"ropeway/internal/plan"
	"ropeway/internal/state"
)

// Whoever applies a file to the controllers of a lab moves its gateways. What stands around them, hosts and routers, is the lab's to move: it
// takes over the newest revision, draws the world again, and sets the machines that there are to that.

// Follow takes over the newest revision of the lab's controllers, and waits until the agents have it that can. It returns the number of the
// revision that the lab is at, 0 where it has no controllers, and changes nothing where no controller answers: then nobody else hears of a newer
// revision either. It returns RW5016 where the revision needs other machines than the lab has.
func (l *Lab) Follow(ctx context.Context) (number uint64, err error) {
	if !l.controlled() {
		return 0, nil
	}
	r, err := l.newest(ctx)
	if errors.Is(err, errNoAnswer) {
		return l.record.Revision, nil
	}
	if err != nil || r.Revision.Number <= l.record.Revision {
		return l.record.Revision, err
	}
	err = l.alone(func(st *site) error {
		if r.Revision.Number <= l.record.Revision {
			return nil // somebody else was faster
		}
		if err := l.adopt(ctx, st, r); err != nil {
			return err
		}
		if err := l.renewResponder(); err != nil {
			return err
		}
		return l.awaitPlans(ctx)
	})
	return l.record.Revision, err
}

// alone opens a lab's machines for a change, as the record says of them now.
func (l *Lab) alone(do func(*site) error) (err error) {
	release, err := hold(l.Name, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	now, err := Open(l.Name) // somebody else may have changed it since it was opened
	if err != nil {
		return err
	}
	l.record, l.in = now.record, now.in
	st, err := openSite(l.Name, l.record.World)
	if err != nil {
		return err
	}
	defer st.Close()
	return do(st)
}

// errNoAnswer says that no controller of the lab answers.
var errNoAnswer = errors.New("no controller answers")

// newest asks one controller after the other for the newest revision.
func (l *Lab) newest(ctx context.Context) (*ropewayv1.GetRevisionResponse, error) {
	m, err := member.Load(filepath.Join(operatorDir(l.Name), "member.json"))
	if err != nil {
		return nil, fmt.Errorf("ask the controllers of lab %s: %w", l.Name, err)
	}
	m.Dial = func(ctx context.Context, _, address string) (net.Conn, error) {
		return l.dial(ctx, world.OperatorSpace, address)
	}
	failures := []error{errNoAnswer}
	for _, s := range l.record.World.Controllers() {
		r, err := l.newestOf(ctx, m, s)
		if err == nil {
			return r, nil
		}
		failures = append(failures, fmt.Errorf("controller %s: %w", s.Name, err))
	}
	return nil, errors.Join(failures...)
}

// answerTimeout is how long a controller may take to say what is newest. One that is stopped never does.
const answerTimeout = 3 * time.Second

func (l *Lab) newestOf(ctx context.Context, m *member.Member, s world.Seat) (*ropewayv1.GetRevisionResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	client, err := m.HTTP(urlOf(s))
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	return ropewayv1connect.NewFabricServiceClient(client, urlOf(s)).GetRevision(ctx, &ropewayv1.GetRevisionRequest{})
}

// adopt makes a revision the one that the lab is at, and sets hosts, routers and paths to it.
func (l *Lab) adopt(ctx context.Context, st *site, r *ropewayv1.GetRevisionResponse) error {
	name := fmt.Sprintf("revision-%d.yaml", r.Revision.Number)
	in, list := intent.Read(name, r.File)
	if in == nil {
		return fmt.Errorf("read revision %d: %w", r.Revision.Number, list)
	}
	lock, err := state.Parse(name+" lock", r.Lock)
	if err != nil {
		return fmt.Errorf("read the lock of revision %d: %w", r.Revision.Number, err)
	}
	p, _ := compile.Compile(in, lock)
	w, err := world.Draw(in, p, l.record.Places...)
	if err != nil {
		return err
	}
	if why := otherMachines(l.record.World, w); why != "" {
		return problem("RW5016", fmt.Sprintf("revision %d of lab %s", r.Revision.Number, l.Name), "it needs other machines than the lab has: "+why,
			"ropeway lab down, and up again with the new file")
	}
	l.in = in
	l.record.Source, l.record.Plan, l.record.World, l.record.Revision = string(r.File), p, w, r.Revision.Number
	if err := l.record.write(); err != nil {
		return err
	}
	return errors.Join(st.redraw(ctx, w, l.record.Faults), l.renewRouters())
}

// otherMachines says in what the machines of a world are not those of another; "" where they are. What hosts carry, what routers route, and what
// paths carry can be changed while a lab is up.
func otherMachines(have, want *world.World) string {
	for _, way := range []struct {
		from, to *world.World
		what     string
	}{{want, have, "is not there"}, {have, want, "would be gone"}} {
		for _, s := range way.from.Spaces {
			if way.to.Space(s.Name) == nil {
				return s.Name + " " + way.what
			}
		}
	}
	if !bytes.Equal(fixed(have), fixed(want)) {
		return "prefixes, endpoints, NAT or the MTU of wires have changed"
	}
	return ""
}

// fixed writes what cannot change of a world while a lab is up.
func fixed(w *world.World) []byte {
	rest := world.World{Edges: w.Edges, Seats: w.Seats}
	hosts := map[string]bool{}
	for _, s := range w.Spaces {
		part := *s
		hosts[s.Name] = s.Kind == world.Host
		if s.Kind == world.Host || s.Kind == world.Router {
			part.Routes = nil
		}
		part.Forward = slices.Clone(part.Forward)
		for i := range part.Forward {
			part.Forward[i].Ports = nil
		}
		rest.Spaces = append(rest.Spaces, &part)
	}
	for _, wire := range w.Wires {
		for _, end := range []*world.End{&wire.A, &wire.B} {
			if hosts[end.Space] {
				end.Own = nil
			}
		}
		rest.Wires = append(rest.Wires, wire)
	}
	text, err := json.Marshal(rest)
	if err != nil { // nothing in it cannot be written
		return nil
	}
	return text
}

// redraw sets what can change of a world while a lab is up.
func (st *site) redraw(ctx context.Context, w *world.World, faults []Fault) error {
	st.world = w
	for _, drawn := range w.Spaces {
		s := st.spaces[drawn.Name]
		s.drawn = drawn
		if drawn.Kind != world.Host && drawn.Kind != world.Router {
			continue
		}
		if err := errors.Join(s.dropRoutes(), s.dropAddresses(w.Addresses(drawn.Name)), st.configure(drawn.Name)); err != nil {
			return err
		}
	}
	return errors.Join(st.translate(ctx), st.setUnderlay(ctx, faults))
}

// dropRoutes deletes the routes of a machine that the lab made and that are not drawn any more.
func (s *space) dropRoutes() error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := s.link.RouteListFiltered(family, &netlink.Route{Protocol: unix.RTPROT_BOOT}, netlink.RT_FILTER_PROTOCOL)
		if err != nil {
			return fmt.Errorf("list the routes of %s: %w", s.drawn.Name, err)
		}
		for _, r := range routes {
			wanted := slices.ContainsFunc(s.drawn.Routes, func(d world.Route) bool { return r.Dst.String() == ipNet(d.Prefix).String() })
			if wanted {
				continue
			}
			if err := s.link.RouteDel(&r); err != nil {
				return fmt.Errorf("delete a route of %s: %w", s.drawn.Name, err)
			}
		}
	}
	return nil
}

// dropAddresses deletes what a host carries and is not to.
func (s *space) dropAddresses(wanted []netip.Addr) error {
	if s.drawn.Kind != world.Host {
		return nil
	}
	link, err := s.link.LinkByName(world.Uplink)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", world.Uplink, s.drawn.Name, err)
	}
	have, err := s.link.AddrList(link, unix.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("list the addresses of %s: %w", s.drawn.Name, err)
	}
	for _, a := range have {
		addr, ok := netip.AddrFromSlice(a.IP)
		if addr = addr.Unmap(); !ok || !s.drawn.Prefix.Contains(addr) || slices.Contains(wanted, addr) {
			continue
		}
		if err := s.link.AddrDel(link, &a); err != nil {
			return fmt.Errorf("delete %s of %s: %w", addr, s.drawn.Name, err)
		}
	}
	return nil
}

// renewResponder tells what answers for the hosts that the file may name other ports.
func (l *Lab) renewResponder() error {
	return l.onMachine(world.CoreSpace, func(pid int) error { return unix.Kill(pid, unix.SIGHUP) })
}

// How long agents may take to have a new revision. Under faults some never will.
const (
	movePatience      = 15 * time.Second
	movePatienceFault = 3 * time.Second
)

// awaitPlans waits until every agent follows its plan of the newest revision, or time is over.
func (l *Lab) awaitPlans(ctx context.Context) error {
	patience := movePatience
	if len(l.record.Faults) > 0 {
		patience = movePatienceFault
	}
	g, ctx := errgroup.WithContext(ctx)
	for name, revision := range l.record.Plan.Revisions() {
		g.Go(func() error {
			return l.listen(ctx, name, patience, func(s agentStatus) bool { return s.Plan.Applied == revision })
		})
	}
	return g.Wait()
}

// held returns the plan as gateways were last told of it: one that is cut off from its controllers follows an older revision.
func (l *Lab) held() (*plan.Fabric, error) {
	if !l.controlled() {
		return l.record.Plan, nil
	}
	out := *l.record.Plan
	out.Gateways = slices.Clone(out.Gateways)
	for i, g := range out.Gateways {
		data, err := files.Read(courier.PlanFile(filepath.Join(machineDir(l.Name, g.Name), stateDir)), maxRecord)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the plan of gateway %s: %w", g.Name, err)
		}
		doc, err := plan.Decode(data)
		if err != nil {
			return nil, fmt.Errorf("read the plan of gateway %s: %w", g.Name, err)
		}
		out.Gateways[i] = &doc.Gateway
	}
	return &out, nil
}
