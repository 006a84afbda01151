package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ropeway/internal/plan"
	"ropeway/internal/probe"
)

// reachWait is how long gateways have to answer: more than a round trip about the earth takes.
const reachWait = 600 * time.Millisecond

// mostAddresses bounds how many tunnel addresses of one peer are asked: at a spoke, those of every gateway beyond the hub are the hub's, too.
const mostAddresses = 256

// Reach returns those of some gateways that answer through their tunnels now, as the plan in force has them. nil stands for all that have a session:
// nobody else is woken for it.
func (a *Agent) Reach(ctx context.Context, gateways []string) ([]string, error) {
	a.mu.Lock()
	want := a.record.wanted
	a.mu.Unlock()
	if want == nil || gateways != nil && len(gateways) == 0 {
		return nil, nil
	}
	asked := func(d *plan.Device, p *plan.Peer) bool { return slices.Contains(gateways, p.Gateway) }
	if gateways == nil {
		up, err := a.sessions(ctx, want)
		if err != nil {
			return nil, err
		}
		asked = func(d *plan.Device, p *plan.Peer) bool { return up[d.Name+" "+p.Gateway] }
	}
	var targets []probe.Target
	for i := range want.Gateway.Devices {
		d := &want.Gateway.Devices[i]
		for _, p := range d.Peers {
			if addresses := want.Gateway.TunnelAddresses(p); asked(d, p) && len(addresses) > 0 {
				targets = append(targets, probe.Target{Name: p.Gateway, Device: d.Name, Addresses: addresses[:min(len(addresses), mostAddresses)]})
			}
		}
	}
	answered, err := probe.Echo(ctx, targets, reachWait)
	var out []string
	for name := range answered {
		out = append(out, name)
	}
	slices.Sort(out)
	return out, err
}

// sessions returns the peers that have a session, by device and gateway.
func (a *Agent) sessions(ctx context.Context, want *plan.Document) (map[string]bool, error) {
	found, err := a.machine.devices.Observe(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for sessions: %w", err)
	}
	up := map[string]bool{}
	now := time.Now()
	for i := range want.Gateway.Devices {
		for j := range found {
			if d := &want.Gateway.Devices[i]; found[j].Name == d.Name {
				for _, p := range deviceStatus(d, &found[j], now).Peers {
					up[d.Name+" "+p.Gateway] = p.State == Up
				}
			}
		}
	}
	return up, nil
}
