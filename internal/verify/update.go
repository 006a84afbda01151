package verify

// live is what updates need.
type live struct{}

// settle is nothing yet.
func (m *Model) settle() {}

// routeWords returns the device and the peer that a route group names.
func (m *Model) routeWords(g int32, number int32) (device, peer string) {
	r := m.gateways[g].Routes[number]
	return r.Device, r.Peer
}
