package store

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"ropeway/internal/diag"
)

// Options of a store. Either Dir or Endpoints is set.
type Options struct {
	Dir string // of an embedded etcd: its data, in a directory of mode 0700 that belongs to this user

	// An embedded etcd that is, or can become, a member of a cluster. Where PeerURL is empty it is alone, and nothing listens.
	Name       string  // of this member
	PeerURL    string  // where the other members reach it: https://HOST:PORT, or http on the loopback
	PeerListen string  // where it listens for them, if not at PeerURL: HOST is an address then
	PeerTLS    PeerTLS // needed unless PeerURL is on the loopback
	// What counts at the first start alone: the directory knows it afterwards.
	InitialCluster string // every member, this one too: NAME=URL,NAME=URL; "" for a cluster of this one
	Join           bool   // the cluster is there, and has admitted this member

	Endpoints []string    // of an etcd that is there already: https://HOST:PORT, or http on the loopback
	TLS       *tls.Config // how to speak to it

	Election time.Duration // of an embedded etcd: how long a leader may be silent before the others elect one; 0: UsualElection

	Quota int64        // of an embedded etcd, in bytes: what it may take on disk; 0: 2 GiB
	Log   *slog.Logger // nil: nowhere
}

// PeerTLS says how members of a cluster know each other. It names files because etcd reads them itself, anew for every connection, so that
// a renewed certificate needs no restart.
type PeerTLS struct {
	Cert, Key string // of this member, as server and client
	CA        string // who vouches for members
	Peer      string // the DNS name that every member's certificate bears and nobody else's: a member may write anything, and answer for any other
}

// How long a leader may be silent. It takes between one and two of them until another one leads. etcd asks for ten round trips or more between the farthest
// two members, so the usual one is for regions that are up to 100 ms apart, and for a machine that is late by some hundred milliseconds.
const (
	UsualElection = time.Second
	LeastElection = time.Second / 2 // below it a busy machine, or one slow write to a disk, is taken for a dead one
	MostElection  = 10 * time.Second

	beats = 10 // of a leader in that time
)

const (
	defaultQuota = 2 << 30
	keepAlive    = 5 * time.Second // after so long without a sign a connection is asked whether it is alive, and has as long to answer
)

// check refuses what contradicts itself, and anything that would speak in clear beyond this machine.
func (o *Options) check() error {
	switch {
	case (o.Dir == "") == (len(o.Endpoints) == 0):
		return errors.New("either a data directory or the endpoints of an etcd are needed")
	case o.Election != 0 && (o.Election < LeastElection || o.Election > MostElection):
		return fmt.Errorf("an election is held after %s to %s of silence", LeastElection, MostElection)
	case o.Quota < 0:
		return errors.New("the quota is negative")
	case len(o.Endpoints) > 0:
		for _, e := range o.Endpoints {
			if err := checkURL(e, o.TLS != nil); err != nil {
				return fmt.Errorf("endpoint %s: %w", diag.Quote(e), err)
			}
		}
		return nil
	case o.PeerURL != "" && o.Name == "" || o.PeerURL == "" && (o.InitialCluster != "" || o.PeerListen != "") || o.Join && o.InitialCluster == "":
		return errors.New("a member of a cluster needs a name, its own URL, and, where it joins one, all members")
	case o.PeerURL == "":
		return nil
	}
	t := o.PeerTLS
	secure := t.Cert != "" && t.Key != "" && t.CA != "" && t.Peer != ""
	if !secure && t != (PeerTLS{}) {
		return errors.New("TLS between members needs a certificate, its key, a CA, and the name that members bear")
	}
	for _, u := range []string{o.PeerURL, o.listen()} {
		if err := checkURL(u, secure); err != nil {
			return fmt.Errorf("peer URL %s: %w", diag.Quote(u), err)
		}
	}
	return nil
}

func (o *Options) listen() string {
	if o.PeerListen != "" {
		return o.PeerListen
	}
	return o.PeerURL
}

// checkURL refuses a URL that is not https with a configuration for it, unless it stays on this machine.
func checkURL(raw string, secure bool) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Port() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("it is not of the form https://HOST:PORT")
	}
	switch u.Scheme {
	case "https":
		if !secure {
			return errors.New("it needs TLS, and nothing says how")
		}
		return nil
	case "http":
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsLoopback() {
			return nil
		}
		return errors.New("it would be in clear: use https")
	}
	return errors.New("it is neither https nor http")
}
