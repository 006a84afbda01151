// Package adopt makes a fabric file out of WireGuard configurations that exist: files of wg-quick, and what `wg showconf` and `wg show all dump`
// print. It is pure.
//
// A configuration tells less than a fabric file: who peers with whom, and which prefixes each sends to which peer. So one place is made of every
// machine, peers are matched by public key, and what is told of a machine's prefixes is what the others send to it, as far as it does not send that
// on to somebody else. What could not be told, and what is not taken over, is a warning and stands as a comment in the file.
//
// Input holds private keys. One becomes its public half where it is read, and no error repeats anything of a line but its number: who forgets a
// "=" writes the key where a word should be.
package adopt

import (
	"net/netip"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/key"
)

// A Config is what one configuration tells of the machine that it is for.
type Config struct {
	Name       string         // of the machine, a DNS label
	Public     key.Public     // zero: it does not tell
	Addresses  []netip.Prefix // of the device
	ListenPort uint16         // 0: any
	MTU        int            // of the device, in bytes; 0: not told
	Peers      []Peer
	Ignored    []string // words that mean something to wg-quick and nothing here, sorted
}

// A Peer is what a configuration tells of another machine.
type Peer struct {
	Public    key.Public
	Label     string          // what a comment calls it, a DNS label; "": nothing
	Endpoint  fabric.Endpoint // zero: not told
	Allowed   []netip.Prefix  // canonical
	Keepalive int             // seconds; 0: none
	Preshared bool            // the two share a key beside
}

// What is said of configurations.
const (
	codeUnread  diag.Code = "RW6014" // an error: it is no configuration
	codeNothing diag.Code = "RW6015" // an error: they do not make a fabric
	codeUntold  diag.Code = "RW6016" // a warning: something was not told, or is not taken over
)
