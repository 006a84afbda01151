package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ropeway/internal/lab/world"
)

// routeProtocol marks the agent's routes (see package route).
const routeProtocol = 114

// rouse brings a gateway back that was dead or stood still and is not to be any more. It waits for nobody: those whom it would meet may have been as it was.
func (l *Lab) rouse(ctx context.Context, st *site, name string, was, is condition) error {
	switch {
	case is.dead:
		return nil
	case was.dead:
		return l.boot(ctx, st, name)
	case was.frozen && !is.frozen:
		return l.thaw(ctx, st, name, is.agent)
	}
	return nil
}

// settleGateway takes a gateway from one condition to another, once it is roused.
func (l *Lab) settleGateway(ctx context.Context, st *site, name string, was, is condition) error {
	switch {
	case is.dead && was.dead, !is.dead && !was.dead && is.frozen && was.frozen: // what such a machine routes matters when it lives again
		return nil
	case is.dead:
		return l.killGateway(ctx, st, name)
	case was.dead, was.frozen:
		if err := l.rejoin(ctx, st, name); err != nil {
			return err
		}
	default:
		if err := l.wakeAgent(ctx, name, was.agent); err != nil {
			return err
		}
		if len(was.lost) > 0 {
			if err := l.awaitRoutes(ctx, st, name); err != nil {
				return err
			}
		}
	}
	if err := l.takeAgent(ctx, st, name, is); err != nil || !is.frozen {
		return err
	}
	return l.freeze(ctx, st, name)
}

// takeAgent takes from a gateway that lives what its condition says: its agent, and routes.
func (l *Lab) takeAgent(ctx context.Context, st *site, name string, is condition) error {
	pid, err := l.agentOf(name)
	if err != nil || is.agent == agentRuns || is.agent == agentDead && pid == 0 {
		return err
	}
	if err := l.signalAgent(name, unix.SIGSTOP); err != nil {
		return err
	}
	for _, p := range is.lost {
		if err := st.spaces[name].deleteRoutes(p); err != nil {
			return err
		}
	}
	if is.agent == agentDead {
		return l.killAgent(ctx, name)
	}
	return nil
}

// wakeAgent makes an agent run that was held or dead.
func (l *Lab) wakeAgent(ctx context.Context, name string, was agentState) error {
	switch was {
	case agentHeld:
		return l.signalAgent(name, unix.SIGCONT)
	case agentDead:
		if err := l.startAgent(name); err != nil {
			return err
		}
		return l.awaitAgent(ctx, name)
	}
	return nil
}

// killAgent ends the agent of a gateway at once, and nothing else of it.
func (l *Lab) killAgent(ctx context.Context, name string) error {
	if err := l.signalAgent(name, unix.SIGKILL); err != nil {
		return err
	}
	for deadline := time.Now().Add(reapTimeout); ; {
		pid, err := l.agentOf(name)
		if err != nil || pid == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the agent of %s does not end", name)
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
}

// killGateway is a power cut: every process ends at once, and no interface has a carrier any more. The machine is silent first, since a kernel would
// tell the other ends of its connections that their processes are gone, and nobody is left to do that here.
func (l *Lab) killGateway(ctx context.Context, st *site, name string) error {
	if err := st.silence(ctx, name); err != nil {
		return err
	}
	if err := kill(ctx, []string{spaceName(l.Name, name)}); err != nil {
		return err
	}
	return st.spaces[name].setInterfaces(st.spaces[name].link.LinkSetDown)
}

// boot starts the machine again: its interfaces and its agent.
func (l *Lab) boot(ctx context.Context, st *site, name string) error {
	if err := st.spaces[name].setInterfaces(st.spaces[name].link.LinkSetUp); err != nil {
		return err
	}
	return errors.Join(st.configure(name), st.unsilence(ctx, name), l.startAgent(name))
}

// rejoin waits until a gateway that was away has its links, the routes of its plan, and its sessions.
func (l *Lab) rejoin(ctx context.Context, st *site, name string) error {
	var own []Link
	for _, k := range l.workingLinks() {
		if k.A == name || k.B == name {
			own = append(own, k)
		}
	}
	if _, err := l.waitForLinks(ctx, st, own, reviveTimeout); err != nil {
		return err
	}
	if err := l.awaitRoutes(ctx, st, name); err != nil {
		return err
	}
	_, err := l.waitForSessions(ctx, sessionPatience)
	return err
}

// setInterfaces raises or lowers every interface of the lab's own in a space.
func (s *space) setInterfaces(set func(netlink.Link) error) error {
	for _, name := range []string{world.Uplink, world.Inside} {
		link, err := s.link.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if err := set(link); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// workingLinks returns the links that no fault stands against.
func (l *Lab) workingLinks() []Link {
	w := l.record.World
	return slices.DeleteFunc(l.links(), func(k Link) bool {
		broken := false
		for _, f := range l.record.Faults {
			switch f.Kind {
			case GatewayKill, GatewayFreeze:
				broken = broken || f.A == k.A || f.A == k.B
			case RegionPartition:
				broken = broken || (w.Edge(k.A).Place == f.A) != (w.Edge(k.B).Place == f.A)
			case LinkCut, LinkOneWay:
				f.eachPair(w, func(near, far world.Edge) {
					broken = broken || near.Gateway == k.A && far.Gateway == k.B
				})
			}
		}
		return broken
	})
}

// signalAgent stops the agent of a gateway or lets it go on. Its devices are processes of their own and do not notice.
func (l *Lab) signalAgent(gateway string, sig unix.Signal) error {
	pid, err := l.agentOf(gateway)
	if err != nil {
		return err
	}
	if pid == 0 {
		return problem("RW5010", "gateway "+gateway, "its agent does not run", "its log is "+machineDir(l.Name, gateway)+"/"+logFile)
	}
	if err := unix.Kill(pid, sig); err != nil {
		return fmt.Errorf("signal the agent of %s: %w", gateway, err)
	}
	return nil
}

// agentOf returns the process of a gateway's agent, and 0 where none runs.
func (l *Lab) agentOf(gateway string) (int, error) {
	ids, err := identities([]string{spaceName(l.Name, gateway)})
	if err != nil {
		return 0, err
	}
	living, err := inhabitants(ids)
	if err != nil {
		return 0, err
	}
	for pid := range living {
		if isAgent(pid, machineDir(l.Name, gateway)) {
			return pid, nil
		}
	}
	return 0, nil
}

// isAgent reports whether a process is the agent that startAgent started with the state in a directory.
func isAgent(pid int, dir string) bool {
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	words := strings.Split(string(args), "\x00")
	return err == nil && len(words) > 3 && words[1] == "run" && words[3] == filepath.Join(dir, stateDir)
}

// agents returns how the agents of all gateways do: "running", "held" or "dead".
func (l *Lab) agents() (map[string]string, error) {
	out := map[string]string{}
	for _, g := range l.record.Plan.Gateways {
		pid, err := l.agentOf(g.Name)
		if err != nil {
			return nil, err
		}
		c := stateOf(g, l.record.Faults)
		switch {
		case pid == 0:
			out[g.Name] = "dead"
		case c.agent == agentHeld || c.frozen:
			out[g.Name] = "held"
		default:
			out[g.Name] = "running"
		}
	}
	return out, nil
}

// deleteRoutes deletes the agent's routes to a prefix. A route that names a nexthop object is known by its prefix and protocol alone.
func (s *space) deleteRoutes(p netip.Prefix) error {
	routes, err := s.routesTo(p)
	if err != nil {
		return err
	}
	for range routes {
		err := s.link.RouteDel(&netlink.Route{
			Dst: ipNet(p), Family: familyOf(p.Addr()), Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN, Scope: netlink.SCOPE_NOWHERE,
		})
		if err != nil {
			return fmt.Errorf("delete the route to %s: %w", p, err)
		}
	}
	return nil
}

// routesTo returns the agent's routes to exactly a prefix.
func (s *space) routesTo(p netip.Prefix) ([]netlink.Route, error) {
	filter := &netlink.Route{Protocol: routeProtocol, Dst: ipNet(p)}
	routes, err := s.link.RouteListFiltered(familyOf(p.Addr()), filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_DST)
	if err != nil {
		return nil, fmt.Errorf("list the routes to %s: %w", p, err)
	}
	return routes, nil
}

// awaitRoutes waits until a gateway has every route of its plan.
func (l *Lab) awaitRoutes(ctx context.Context, st *site, name string) error {
	var wanted []netip.Prefix
	for _, r := range l.record.Plan.Gateway(name).Routes {
		wanted = append(wanted, r.Prefixes...)
	}
	return l.await(ctx, st, name, wanted)
}

func (l *Lab) await(ctx context.Context, st *site, name string, wanted []netip.Prefix) error {
	deadline := time.Now().Add(reviveTimeout)
	for _, p := range wanted {
		for {
			routes, err := st.spaces[name].routesTo(p)
			if err != nil {
				return err
			}
			if len(routes) > 0 {
				break
			}
			if time.Now().After(deadline) {
				return problem("RW5010", "gateway "+name, fmt.Sprintf("its agent has not put back the route to %s", p),
					"its log is "+machineDir(l.Name, name)+"/"+logFile)
			}
			if err := sleep(ctx, pollInterval); err != nil {
				return err
			}
		}
	}
	return nil
}

// Poke deletes a route of a gateway once, and returns how long its agent took to put it back.
func (l *Lab) Poke(ctx context.Context, gateway string, p netip.Prefix) (took time.Duration, err error) {
	if err := l.sensible(Fault{Kind: RouteDrop, A: gateway, Prefix: p}); err != nil {
		return 0, err
	}
	release, err := hold(l.Name, unix.LOCK_EX)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, release()) }()
	st, err := openSite(l.Name, l.record.World)
	if err != nil {
		return 0, err
	}
	defer st.Close()
	begun := time.Now()
	if err := st.spaces[gateway].deleteRoutes(p); err != nil {
		return 0, err
	}
	err = l.await(ctx, st, gateway, []netip.Prefix{p})
	return time.Since(begun), err
}
