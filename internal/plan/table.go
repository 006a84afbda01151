package plan

import (
	"fmt"
	"net/netip"

	"ropeway/internal/fabric"
)

// A Table is a gateway's part in the route table of its place, where the gateways hold that among themselves: each sees by BFD which of the others are there, and has
// lead to itself what falls to it.
type Table struct {
	Siblings []Sibling      `json:"siblings"` // the other gateways of the place, sorted by name
	Routes   []*RouterRoute `json:"routes"`   // those of the place, see Place.Routes
}

// A Sibling is another gateway of the same place, watched over the place's LAN by BFD for paths of several hops (RFC 5883).
type Sibling struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"` // of the other on the LAN
	Local   netip.Addr `json:"local"`   // this one's
	BFD     BFD        `json:"bfd"`
}

// Holder returns the gateway that takes the packets of a route where not all are there: the first of those that are, or "".
func (r *RouterRoute) Holder(there func(gateway string) bool) string {
	if there(r.Gateway) {
		return r.Gateway
	}
	for _, name := range r.Then {
		if there(name) {
			return name
		}
	}
	return ""
}

// Validate refuses what cannot be; what is in a plan can also break out of a daemon's configuration.
func (t *Table) Validate() error {
	seen := map[netip.Addr]bool{}
	for _, s := range t.Siblings {
		switch {
		case !fabric.ValidName(s.Name) || seen[s.Address]:
			return fmt.Errorf("sibling %q: want a DNS label as its name and an address of its own", s.Name)
		case !s.Address.IsValid() || s.Address.Zone() != "" || s.Local.Zone() != "" || s.Address.Is4In6() || s.Local.Is4() != s.Address.Is4():
			return fmt.Errorf("sibling %s: want two addresses of one family", s.Name)
		}
		if err := s.BFD.validate(); err != nil {
			return fmt.Errorf("sibling %s: %w", s.Name, err)
		}
		seen[s.Address] = true
	}
	for i, r := range t.Routes {
		if r == nil || !fabric.ValidName(r.Gateway) {
			return fmt.Errorf("route %d: want a DNS label as its gateway", i+1)
		}
		for _, name := range r.Then {
			if !fabric.ValidName(name) {
				return fmt.Errorf("route %d: %q is not the name of a gateway", i+1, name)
			}
		}
		if err := canonical(r.Prefixes); err != nil {
			return fmt.Errorf("route %d: %w", i+1, err)
		}
	}
	return nil
}

func (b BFD) validate() error {
	if b.Interval < 10 || b.Interval > 60000 || b.Multiplier < 2 || b.Multiplier > 255 {
		return fmt.Errorf("want 10 to 60000 ms and a multiplier from 2 to 255 for BFD")
	}
	return nil
}
