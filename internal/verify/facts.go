package verify

// conditions are Facts made ready for questions. A pair is kept under both orders.
type conditions struct {
	down   map[string]bool
	cut    map[Link]bool
	paths  map[Link]int   // what the path between two places really carries
	places map[string]int // what every path of a place carries at most
	silent bool           // somebody drops ICMP
}

func newConditions(f Facts) conditions {
	c := conditions{down: map[string]bool{}, cut: map[Link]bool{}, paths: map[Link]int{}, places: map[string]int{}, silent: f.NoICMP}
	for _, name := range f.Down {
		c.down[name] = true
	}
	for _, l := range f.Cut {
		c.cut[l] = true
		c.cut[Link{l.B, l.A}] = true
	}
	for _, u := range f.Underlay {
		switch {
		case u.A == "":
			lower(c.places, u.B, u.MTU)
		case u.B == "":
			lower(c.places, u.A, u.MTU)
		default:
			lower(c.paths, Link{u.A, u.B}, u.MTU)
			lower(c.paths, Link{u.B, u.A}, u.MTU)
		}
	}
	return c
}

// lower keeps the smallest of what is said about the same thing.
func lower[K comparable](m map[K]int, key K, mtu int) {
	if known, ok := m[key]; !ok || mtu < known {
		m[key] = mtu
	}
}

// underlay returns what the path between two places carries, where a plan assumed so much. What is known of the path stands; else
// the smaller of what is known of its ends. About an end of which nothing is known the assumption stands.
func (c *conditions) underlay(a, b string, assumed int) int {
	if len(c.paths) > 0 {
		if mtu, known := c.paths[Link{a, b}]; known {
			return mtu
		}
	}
	if len(c.places) == 0 {
		return assumed
	}
	atA, knownA := c.places[a]
	atB, knownB := c.places[b]
	switch {
	case knownA && knownB:
		return min(atA, atB)
	case knownA:
		return min(atA, assumed)
	case knownB:
		return min(atB, assumed)
	}
	return assumed
}

// severed reports whether nothing passes between two gateways.
func (c *conditions) severed(gatewayA, placeA, gatewayB, placeB string) bool {
	if len(c.cut) == 0 {
		return false
	}
	return c.cut[Link{gatewayA, gatewayB}] || placeA != placeB && c.cut[Link{placeA, placeB}]
}

// capacity returns the largest inner packet that a device sends through a path: WireGuard pads to a multiple of 16, but never
// beyond the device's MTU (whitepaper, section 5.4.6), and adds its overhead.
func capacity(deviceMTU, underlay, overhead int) int {
	room := underlay - overhead
	if deviceMTU <= room {
		return deviceMTU
	}
	return max(0, room-room%16)
}
