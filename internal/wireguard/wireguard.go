// Package wireguard makes WireGuard devices what a plan says, and tells what they are.
//
// Observe reads, Diff compares, Apply carries out the difference and reads back what it changed. All three take any state that
// they find: a device that is missing, half made, somebody else's, or whose process was killed. Only interfaces that begin with
// "rw" and are WireGuard devices are Ropeway's; nothing else is ever changed.
//
// A device is the kernel's where the kernel has WireGuard, else a process of its own (RunDevice) that outlives the one that
// started it and is found again by its control socket. What is sent to a device is always a delta: sessions of peers that a new
// plan leaves alone go on, and a change costs the same on a device with ten peers as on one with ten thousand.
package wireguard

import (
	"context"
	"net/netip"
	"time"

	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// A Backend is what carries a device.
type Backend string

const (
	Kernel    Backend = "kernel"
	Userspace Backend = "userspace" // a process that runs RunDevice
)

// A Device is a WireGuard device as it was found.
type Device struct {
	Name       string         `json:"name"`
	Backend    Backend        `json:"backend"`
	Up         bool           `json:"up"`
	MTU        int            `json:"mtu"`
	ListenPort uint16         `json:"listenPort"`
	PublicKey  key.Public     `json:"publicKey,omitzero"` // zero: no private key is set
	Addresses  []netip.Prefix `json:"addresses"`          // sorted
	Peers      []Peer         `json:"peers"`              // sorted by public key
}

// A Peer is the other end of a tunnel as it was found.
type Peer struct {
	PublicKey     key.Public     `json:"publicKey"`
	Endpoint      netip.AddrPort `json:"endpoint,omitzero"` // where its last packet came from, or what was set
	AllowedIPs    []netip.Prefix `json:"allowedIPs"`        // sorted
	Keepalive     int            `json:"keepalive"`         // seconds, 0: none
	LastHandshake time.Time      `json:"lastHandshake,omitzero"`
	Received      uint64         `json:"received"` // bytes
	Sent          uint64         `json:"sent"`     // bytes
}

// Options of a Client. The zero value is what an agent wants.
type Options struct {
	SocketDir string   // where userspace devices have their control sockets; default /run/wireguard
	LogDir    string   // where the processes of userspace devices write NAME.log; default /run/ropeway
	Command   []string // starts a userspace device when NAME is appended; default: this executable, "device"
	Backend   Backend  // default: Kernel where it works, else Userspace
}

// A Client observes and changes the devices of the network namespace that it is called in.
type Client struct{ opts Options }

// New returns a Client. It touches nothing.
func New(opts Options) *Client { return &Client{opts: opts} }

// Observe returns Ropeway's devices sorted by name. A userspace device whose process is dead is not there.
func (c *Client) Observe(ctx context.Context) ([]Device, error) { return nil, errNotYet }

// Keys returns the private key of a device of the plan.
type Keys func(device string) (key.Private, error)

// Apply makes the devices what the plan wants and returns what it changed. A device of Ropeway's that the plan does not name is
// removed. It goes on after a failure wherever that can do no harm and returns every error; what it did then stands, and the next
// Apply goes on from there. No error ever holds a key.
func (c *Client) Apply(ctx context.Context, want []plan.Device, keys Keys) ([]Change, error) {
	return nil, errNotYet
}

// Plan returns what Apply would change now, and changes nothing.
func (c *Client) Plan(ctx context.Context, want []plan.Device, keys Keys) ([]Change, error) {
	return nil, errNotYet
}

// Refresh resolves the DNS names of peers whose last handshake is older than 135 s again and moves their endpoints.
func (c *Client) Refresh(ctx context.Context, want []plan.Device) ([]Change, error) {
	return nil, errNotYet
}

// Remove deletes every device of Ropeway's and ends the processes of those in userspace.
func (c *Client) Remove(ctx context.Context) ([]Change, error) { return nil, errNotYet }

// BackendFor tells which backend a new device would get, and why.
func (c *Client) BackendFor() (backend Backend, why string) { return Userspace, "" }
