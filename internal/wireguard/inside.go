package wireguard

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tailscale/wireguard-go/device"
)

// inside reaches what a wireguard-go device keeps to itself of single peers. Its own get operation tells of all peers or none, which takes tens of
// milliseconds where there are 10,000, and reading back one change must not; and the endpoint of a peer has no other door (see roamer). The fields are not
// exported, so each is found by name and used only where its type is the one expected.
type inside struct {
	dev     *device.Device
	allowed *device.AllowedIPs
	nobody  *device.Peer // one that the device has no more; see drop

	keepalive, handshake, sent, received, endpoint uintptr // offsets in device.Peer
}

// peerEndpoint is the type of Peer.endpoint.
type peerEndpoint struct {
	sync.Mutex
	val          conn.Endpoint
	clearSrcOnTx bool
}

// errInside means that the version of wireguard-go was changed and this file was not.
var errInside = errors.New("this wireguard-go is not the one that Ropeway knows")

// look returns errInside where this version of wireguard-go is not as expected.
func look(dev *device.Device) (*inside, error) {
	in := &inside{dev: dev}
	allowed := reflect.ValueOf(dev).Elem().FieldByName("allowedips")
	if !allowed.IsValid() || allowed.Type() != reflect.TypeFor[device.AllowedIPs]() {
		return nil, errInside
	}
	in.allowed = (*device.AllowedIPs)(unsafe.Pointer(allowed.UnsafeAddr()))

	peer := reflect.TypeFor[device.Peer]()
	for _, f := range []struct {
		name   string
		want   reflect.Type
		offset *uintptr
	}{
		{"persistentKeepaliveInterval", reflect.TypeFor[atomic.Uint32](), &in.keepalive},
		{"lastHandshakeNano", reflect.TypeFor[atomic.Int64](), &in.handshake},
		{"txBytes", reflect.TypeFor[atomic.Uint64](), &in.sent},
		{"rxBytes", reflect.TypeFor[atomic.Uint64](), &in.received},
		{"endpoint", reflect.TypeFor[peerEndpoint](), &in.endpoint},
	} {
		field, ok := peer.FieldByName(f.name)
		if !ok || !sameLayout(field.Type, f.want) {
			return nil, errInside
		}
		*f.offset = field.Offset
	}
	var err error
	in.nobody, err = nobody(dev)
	return in, err
}

// nobody returns a peer that a device had.
func nobody(dev *device.Device) (*device.Peer, error) {
	var k device.NoisePublicKey
	_, _ = rand.Read(k[:]) // it never fails
	peer, err := dev.NewPeer(k)
	if err != nil {
		return nil, fmt.Errorf("make a peer: %w", err)
	}
	dev.RemovePeer(k)
	return peer, nil
}

// drop takes prefixes from whoever has them. Neither WireGuard's protocol nor this package of it can take one prefix away from a peer and leave it
// its others all the while. So they pass to nobody, who then loses all; a packet that meets him in between is dropped, as after it.
func (in *inside) drop(prefixes []netip.Prefix) {
	for _, p := range prefixes {
		in.allowed.Insert(p, in.nobody)
	}
	in.allowed.RemoveByPeer(in.nobody)
}

// endpointOf returns where the endpoint of a peer is kept, or nil where there is no such peer.
func (in *inside) endpointOf(k device.NoisePublicKey) *peerEndpoint {
	peer, ok := in.dev.LookupActivePeer(k)
	if !ok {
		return nil
	}
	return (*peerEndpoint)(unsafe.Add(unsafe.Pointer(peer), in.endpoint))
}

// sameLayout tells whether two types are the same, or structs of the same fields.
func sameLayout(a, b reflect.Type) bool {
	if a == b {
		return true
	}
	if a.Kind() != reflect.Struct || b.Kind() != reflect.Struct || a.NumField() != b.NumField() {
		return false
	}
	for i := range a.NumField() {
		if x, y := a.Field(i), b.Field(i); x.Name != y.Name || x.Type != y.Type || x.Offset != y.Offset {
			return false
		}
	}
	return true
}

// heard tells whether something came from a peer that has had no session.
func (in *inside) heard(k device.NoisePublicKey) bool {
	peer, ok := in.dev.LookupActivePeer(k)
	if !ok {
		return false
	}
	at := func(offset uintptr) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(peer), offset) }
	return (*atomic.Uint64)(at(in.received)).Load() > 0 && (*atomic.Int64)(at(in.handshake)).Load() == 0
}

// describe writes what get says of a peer, without its preshared key, or nothing where there is no such peer.
func (in *inside) describe(out *bytes.Buffer, k device.NoisePublicKey) {
	peer, ok := in.dev.LookupActivePeer(k)
	if !ok {
		return
	}
	at := func(offset uintptr) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(peer), offset) }
	appendHexKey(out, "public_key", k)
	endpoint := (*peerEndpoint)(at(in.endpoint))
	endpoint.Lock()
	if e, ok := endpoint.val.(*conn.StdNetEndpoint); ok && e.AddrPort != nowhere {
		fmt.Fprintf(out, "endpoint=%s\n", e.AddrPort)
	}
	endpoint.Unlock()
	nano := (*atomic.Int64)(at(in.handshake)).Load()
	fmt.Fprintf(out, "last_handshake_time_sec=%d\nlast_handshake_time_nsec=%d\n", nano/1e9, nano%1e9)
	fmt.Fprintf(out, "tx_bytes=%d\nrx_bytes=%d\n", (*atomic.Uint64)(at(in.sent)).Load(), (*atomic.Uint64)(at(in.received)).Load())
	fmt.Fprintf(out, "persistent_keepalive_interval=%d\n", (*atomic.Uint32)(at(in.keepalive)).Load())
	in.allowed.EntriesForPeer(peer, func(p netip.Prefix) bool {
		fmt.Fprintf(out, "allowed_ip=%s\n", p)
		return true
	})
}
