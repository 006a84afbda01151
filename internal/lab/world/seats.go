package world

import (
	"fmt"
	"net/netip"
)

// ControllerOf returns the name of the space of the controller in a place.
func ControllerOf(place string) string { return place + "/controller" }

// seats draws a controller in each of the places, and where there is one, the operator.
func (d *drawing) seats(places []string) {
	for _, place := range places {
		d.seat(&Space{Name: ControllerOf(place), Kind: Controller, Place: place}, place)
	}
	if len(places) > 0 {
		d.seat(&Space{Name: OperatorSpace, Kind: Operator}, "operator")
	}
}

// seat wires a space to the core. What the core gets of it is looked up in the main table, which knows the way to everybody.
func (d *drawing) seat(s *Space, name string) {
	iface := fmt.Sprintf("seat%d", len(d.Seats)+1)
	ours, theirs := d.pool.both()
	d.Spaces = append(d.Spaces, s)
	d.wire(End{Space: CoreSpace, Interface: iface, Link: ours}, End{Space: s.Name, Interface: Uplink, Link: theirs})
	for _, a := range theirs {
		s.Routes = append(s.Routes, Route{Prefix: anywhere(a), Interface: Uplink})
	}
	d.Seats = append(d.Seats, Seat{name, s.Place, s.Name, iface, InFamily(theirs, netip.IPv4Unspecified())})
}
