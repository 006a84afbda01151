package lab

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"ropeway/internal/lab/world"
)

// A Status is what there is in a lab, and how it does.
type Status struct {
	Name     string    `json:"name"`
	Phase    Phase     `json:"phase"`
	File     string    `json:"file"`
	Revision uint64    `json:"revision,omitempty"` // of the controllers, that the lab is at
	Machines []Machine `json:"machines"`
	Links    []LinkNow `json:"links"`
	Faults   []Fault   `json:"faults"`
}

// A Machine is one namespace.
type Machine struct {
	Name      string       `json:"name"` // what lab exec takes
	Kind      world.Kind   `json:"kind"`
	Place     string       `json:"place,omitempty"`
	Namespace string       `json:"namespace"` // what ip netns takes
	Prefix    netip.Prefix `json:"prefix,omitzero"`
	Addresses []netip.Addr `json:"addresses"`       // of a host: what it carries; of a gateway: what the world knows it by
	Agent     string       `json:"agent,omitempty"` // of a gateway: "running", "held" or "dead"

	Controller string `json:"controller,omitempty"` // of a controller: "serving", "silent", "held" or "dead"
}

// A LinkNow is a tunnel and whether packets pass it.
type LinkNow struct {
	Link
	Underlay int  `json:"underlay"` // what the path under it carries, in bytes
	Up       bool `json:"up"`
}

// statusPatience is how long a link may take to answer. A handshake over the lab's wires takes milliseconds.
const statusPatience = 3 * time.Second

// Status looks at a lab. It sends an echo through every link.
func (l *Lab) Status(ctx context.Context) (s *Status, err error) {
	if _, err := l.Follow(ctx); err != nil {
		return nil, err
	}
	err = l.inside(func(st *site) (err error) {
		s, err = l.status(ctx, st)
		return err
	})
	return s, err
}

func (l *Lab) status(ctx context.Context, st *site) (*Status, error) {
	s := &Status{
		Name: l.Name, Phase: l.record.Phase, File: l.record.File, Revision: l.record.Revision, Machines: []Machine{}, Links: []LinkNow{},
		Faults: append([]Fault{}, l.record.Faults...),
	}
	agents, err := l.agents()
	if err != nil {
		return nil, err
	}
	for _, sp := range l.record.World.Spaces {
		m := Machine{
			Name: sp.Name, Kind: sp.Kind, Place: sp.Place, Prefix: sp.Prefix, Namespace: spaceName(l.Name, sp.Name),
			Addresses: []netip.Addr{}, Agent: agents[sp.Name],
		}
		switch e := l.record.World.Edge(sp.Name); {
		case sp.Kind == world.Host:
			m.Addresses = l.record.World.Addresses(sp.Name)
		case e != nil:
			m.Addresses = e.Outer
		case sp.Kind == world.Controller || sp.Kind == world.Operator:
			if err := l.seated(ctx, &m); err != nil {
				return nil, err
			}
		}
		s.Machines = append(s.Machines, m)
	}
	silent, err := l.waitForLinks(ctx, st, l.links(), statusPatience)
	for _, k := range l.links() {
		s.Links = append(s.Links, LinkNow{k, l.underlay(k), !slices.Contains(silent, k)})
	}
	return s, err
}

// underlay returns what the path under a link carries now.
func (l *Lab) underlay(k Link) int {
	a, b := l.record.World.Edge(k.A), l.record.World.Edge(k.B)
	if a == nil || b == nil {
		return 0
	}
	for _, p := range pathsUnder(l.record.World.Paths, l.record.Faults) {
		if p.From == a.Place && p.To == b.Place {
			return p.MTU
		}
	}
	return 0
}

// Machines returns the names of all machines.
func (l *Lab) Machines() []string {
	var names []string
	for _, s := range l.record.World.Spaces {
		names = append(names, s.Name)
	}
	return names
}

// Logs is where the logs of the lab's agents are, one directory per gateway.
func (l *Lab) Logs() string { return machineDir(l.Name, "") }
