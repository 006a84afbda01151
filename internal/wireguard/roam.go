package wireguard

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tailscale/wireguard-go/device"
)

// A roamer gives a device what this wireguard-go leaves to its user: the endpoint of a peer follows the address that its packets come from
// (WireGuard whitepaper, section 2.1). Without it nobody could answer a gateway behind NAT.
//
// It stands between the device and its UDP sockets, and learns in two places, in both from authenticated packets only. A transport packet
// tells through FromPeer, once it is decrypted and no replay. A handshake initiation tells when its answer is sent: an answer carries the number that
// the initiation chose, and there is one only where the initiation was genuine; the answer goes where the initiation came from.
//
// Callbacks come from goroutines that the device waits for while it holds its locks, so none of them takes a lock of the device.
type roamer struct {
	*conn.StdNetBind
	six    atomic.Pointer[conn.StdNetBind] // what IPv6 packets are sent by
	inside atomic.Pointer[inside]          // nil until the device is made
	port   atomic.Uint32                   // that it listens on, or did last

	mu      sync.RWMutex
	seats   map[device.NoisePublicKey]*peerEndpoint
	pending [pendingInitiations]initiation // a ring: those whose sender is being verified
	next    int
}

// pendingInitiations is far more than the goroutines that verify initiations, one for each CPU.
const pendingInitiations = 1024

// An initiation is a handshake message whose sender is not verified yet.
type initiation struct {
	index uint32 // chosen by the sender
	key   device.NoisePublicKey
	from  *conn.StdNetEndpoint
}

func newRoamer() *roamer {
	return &roamer{
		StdNetBind: conn.NewStdNetBind().(*conn.StdNetBind), // as wireguard-go's own command has it on Linux
		seats:      map[device.NoisePublicKey]*peerEndpoint{},
	}
}

// nowhere is the endpoint of a peer whose address is not known: the device sends nothing to a peer that has none, not even an answer.
var nowhere = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)

// nowhereLine is how get tells it, which nobody needs to know.
const nowhereLine = "endpoint=0.0.0.0:0\n"

// Open implements conn.Bind.
func (r *roamer) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	fns, actual, err := r.StdNetBind.Open(port)
	if err != nil {
		return nil, 0, err
	}
	six, err := senderOfIPv6(r.StdNetBind)
	if err != nil {
		return nil, 0, errors.Join(err, r.Close())
	}
	r.six.Store(six)
	r.port.Store(uint32(actual))
	for i := range fns {
		fns[i] = r.watch(fns[i])
	}
	return fns, actual, nil
}

// watch has the packets that a function receives tell who sent them.
func (r *roamer) watch(receive conn.ReceiveFunc) conn.ReceiveFunc {
	last := &source{StdNetEndpoint: &conn.StdNetEndpoint{}, roamer: r}
	return func(slab []byte, packets []conn.ReceivedPacket) (int, error) {
		n, err := receive(slab, packets)
		for i := range packets[:n] {
			p := &packets[i]
			from, ok := p.Endpoint.(*conn.StdNetEndpoint)
			if !ok {
				continue
			}
			if b := p.Bytes(slab); len(b) == device.MessageInitiationSize && b[0] == device.MessageInitiationType {
				p.Endpoint = &source{from, r, binary.LittleEndian.Uint32(b[4:])}
				continue
			}
			if !sameSource(last.StdNetEndpoint, from) {
				last = &source{StdNetEndpoint: from, roamer: r}
			}
			p.Endpoint = last
		}
		return n, err
	}
}

// sameSource compares addresses: theirs, and ours that they sent to.
func sameSource(a, b *conn.StdNetEndpoint) bool {
	return a == b || a.AddrPort == b.AddrPort && a.SrcIfidx() == b.SrcIfidx() && a.SrcIP() == b.SrcIP()
}

// A source is where a packet came from.
type source struct {
	*conn.StdNetEndpoint
	roamer *roamer
	index  uint32 // of an initiation
}

// FromPeer implements conn.PeerAwareEndpoint: a packet of that peer was decrypted.
func (s *source) FromPeer(k [device.NoisePublicKeySize]byte) { s.roamer.move(k, s.StdNetEndpoint) }

// InitiationMessagePublicKey implements conn.InitiationAwareEndpoint: the packet claims to be an initiation of that peer.
func (s *source) InitiationMessagePublicKey(k [device.NoisePublicKeySize]byte) {
	r := s.roamer
	r.mu.RLock()
	_, seated := r.seats[k]
	r.mu.RUnlock()
	if !seated { // it may have been made a moment ago; here the device holds no lock, so it can be asked
		r.seat(k)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending[r.next] = initiation{s.index, k, s.StdNetEndpoint}
	r.next = (r.next + 1) % pendingInitiations
}

// seat notes where the endpoint of a peer is kept, or forgets a peer that is gone.
func (r *roamer) seat(k device.NoisePublicKey) {
	in := r.inside.Load()
	if in == nil {
		return
	}
	endpoint := in.endpointOf(k)
	r.mu.Lock()
	defer r.mu.Unlock()
	if endpoint == nil {
		delete(r.seats, k)
		return
	}
	r.seats[k] = endpoint
	endpoint.Lock()
	defer endpoint.Unlock()
	if endpoint.val == nil {
		endpoint.val = &conn.StdNetEndpoint{AddrPort: nowhere}
	}
}

// seatAll does so for every peer that it knows, after a configuration that may have removed any.
func (r *roamer) seatAll() {
	for _, k := range r.seated() {
		r.seat(k)
	}
}

// seated returns every peer that it knows.
func (r *roamer) seated() []device.NoisePublicKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]device.NoisePublicKey, 0, len(r.seats))
	for k := range r.seats {
		all = append(all, k)
	}
	return all
}

// move sets the endpoint of a peer that was heard from there.
func (r *roamer) move(k device.NoisePublicKey, from *conn.StdNetEndpoint) {
	r.mu.RLock()
	endpoint := r.seats[k]
	r.mu.RUnlock()
	if endpoint == nil {
		return
	}
	endpoint.Lock()
	defer endpoint.Unlock()
	if now, ok := endpoint.val.(*conn.StdNetEndpoint); ok && sameSource(now, from) {
		return
	}
	own := *from // peers behind one address must not share what the device changes
	endpoint.val, endpoint.clearSrcOnTx = &own, false
}

// The answer to an initiation: 92 bytes of type 2 that name the initiation at byte 8 (whitepaper, section 5.4.3).
const answeredAt = 8

// Send implements conn.Bind.
func (r *roamer) Send(bufs [][]byte, to conn.Endpoint, offset int) error {
	if s, ok := to.(*source); ok { // a cookie, which goes to an address and not to a peer
		to = s.StdNetEndpoint
	}
	if len(bufs) == 1 {
		if b := bufs[0][offset:]; len(b) == device.MessageResponseSize && b[0] == device.MessageResponseType {
			if i, ok := r.take(binary.LittleEndian.Uint32(b[answeredAt:])); ok {
				r.move(i.key, i.from)
				to = i.from
			}
		}
	}
	if e, ok := to.(*conn.StdNetEndpoint); ok && e.AddrPort == nowhere {
		return errNowhere
	}
	if six := r.six.Load(); six != nil && to.DstIP().Is6() {
		return six.Send(bufs, to, offset)
	}
	return r.StdNetBind.Send(bufs, to, offset)
}

var errNowhere = errors.New("the peer has no endpoint, and has not been heard of")

// take returns the initiation of that number that came last.
func (r *roamer) take(index uint32) (initiation, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for back := range pendingInitiations {
		i := &r.pending[(r.next-1-back+pendingInitiations)%pendingInitiations]
		if i.from == nil {
			return initiation{}, false
		}
		if i.index == index {
			found := *i
			return found, true
		}
	}
	return initiation{}, false
}
