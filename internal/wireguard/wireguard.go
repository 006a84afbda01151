// Package wireguard makes WireGuard devices what a plan says, and tells what they are.
//
// Observe reads, Diff compares, Apply carries out the difference and reads back what it changed. All three take any state that
// they find: a device that is missing, half made, somebody else's, or whose process was killed. Only interfaces that begin with
// "rw" and are WireGuard devices are Ropeway's; nothing else is ever changed.
//
// A device is the kernel's where the kernel has WireGuard, else it lives in a process that carries all of them (RunDevices), outlives the one that
// started it and is found again by the control sockets of its devices. What is sent to a device is always a delta: sessions of peers that a new
// plan leaves alone go on. A device in userspace counts the times it was configured; while that count is what it was after the
// last Apply, only the peers that the plan changed are read, sent and read back, so that a change costs the same on a device with
// ten peers as on one with ten thousand.
package wireguard

import (
	"net/netip"
	"os"
	"sync"
	"time"

	"ropeway/internal/key"
)

// A Backend is what carries a device.
type Backend string

const (
	Kernel    Backend = "kernel"
	Userspace Backend = "userspace" // a process that runs RunDevices
)

// Prefix is what the names of Ropeway's interfaces begin with.
const Prefix = "rw"

// A Device is a WireGuard device as it was found.
type Device struct {
	Name       string         `json:"name"`
	Backend    Backend        `json:"backend"`
	Offload    string         `json:"offload,omitempty"` // what a userspace device hands over in large pieces, such as "tun udp-send udp-receive"
	Up         bool           `json:"up"`
	MTU        int            `json:"mtu"`
	ListenPort uint16         `json:"listenPort"`
	PublicKey  key.Public     `json:"publicKey,omitzero"` // zero: no private key is set
	Addresses  []netip.Prefix `json:"addresses"`          // sorted; without IPv6 link-local ones, which are the kernel's
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

	Stale bool           `json:"stale"` // when it was observed, the last handshake was older than StaleAfter
	Set   netip.AddrPort `json:"-"`     // the endpoint that this Client set last; zero: none
}

// StaleAfter is the age of a last handshake that tells a broken session: a session that is in use makes a new handshake after
// 120 s (REKEY_AFTER_TIME) and gives up waiting for an answer after 15 s (KEEPALIVE_TIMEOUT + REKEY_TIMEOUT; whitepaper, 6.5).
const StaleAfter = 135 * time.Second

// Options of a Client. The zero value is what an agent wants.
type Options struct {
	SocketDir string   // where userspace devices have their control sockets; default /run/wireguard
	LogDir    string   // where the process of userspace devices writes devices.log; default /run/ropeway
	Command   []string // starts the process of userspace devices when the NAME of the first is appended; default: this executable, "devices"
	Backend   Backend  // default: Kernel where it works, else Userspace
	Lookup    Lookup   // finds the addresses of a DNS name; default: the system's resolver
	Recall    Recall   // tells where a peer was heard before its device was made anew; default: nobody knows
}

// A Client observes and changes the devices of the network namespace that its methods are called in, always the same one. Between two calls it holds
// nothing open but a conversation with each device in userspace and an ear for changes of interfaces, until Remove. Its methods may be called from several goroutines; they wait for each other.
type Client struct {
	opts    Options
	names   resolver
	backend func() (Backend, string)

	mu       sync.Mutex
	view     view
	known    map[string]*settled // by device
	youths   map[string]*youth   // the same
	talks    map[string]*socket  // the same: conversations that go on
	children map[int]string      // processes that this Client started, which it must reap
}

// Where things are unless Options say otherwise.
const (
	defaultSocketDir = "/run/wireguard" // what wg(8) looks into
	defaultLogDir    = "/run/ropeway"
)

// New returns a Client. It touches nothing.
func New(opts Options) *Client {
	if opts.SocketDir == "" {
		opts.SocketDir = defaultSocketDir
	}
	if opts.LogDir == "" {
		opts.LogDir = defaultLogDir
	}
	if len(opts.Command) == 0 {
		self, err := os.Executable()
		if err != nil {
			self = "/proc/self/exe"
		}
		opts.Command = []string{self, "devices"}
	}
	c := &Client{opts: opts, known: map[string]*settled{}, youths: map[string]*youth{}, talks: map[string]*socket{}, children: map[int]string{}}
	c.names = newResolver(opts.Lookup)
	c.backend = sync.OnceValues(func() (Backend, string) { return choose(opts.Backend) })
	return c
}

// Backend tells which backend a new device gets, and why.
func (c *Client) Backend() (backend Backend, why string) { return c.backend() }
