package authority

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"time"

	"ropeway/internal/diag"
	"ropeway/internal/files"
	"ropeway/internal/role"
)

// PeerName is the DNS name that the certificate of a controller bears when it speaks to the others of its cluster, and no other certificate of
// the authority does. No host has it: the top-level domain is reserved for private use.
const PeerName = "controller.ropeway.internal"

const (
	peerKeyFile  = "peer.key"
	peerCertFile = "peer.crt"
)

// A Peer is how one controller shows itself to the others of its cluster: a key that it made, and a certificate for it that is renewed in its
// file. They stand in files because etcd reads them there, for every connection anew.
type Peer struct {
	dir  string
	key  sealed
	name string
}

// OpenPeer makes the key in a directory where there is none. The name is the controller's, a DNS label.
func OpenPeer(dir, name string) (*Peer, error) {
	if id := (role.Identity{Role: role.Controller, Name: name}); !id.Valid() {
		return nil, fmt.Errorf("open the key of a controller: %s is no DNS label", diag.Quote(name))
	}
	d, err := files.MakeSecrets(dir)
	if err != nil {
		return nil, refused(dir, err)
	}
	defer func() { _ = d.Close() }()
	key, err := store{d, dir}.ensure(peerKeyFile, func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	if err != nil {
		return nil, err
	}
	return &Peer{dir, key, name}, nil
}

// KeyFile returns where the key stands.
func (p *Peer) KeyFile() string { return filepath.Join(p.dir, peerKeyFile) }

// CertFile returns where the certificate stands.
func (p *Peer) CertFile() string { return filepath.Join(p.dir, peerCertFile) }

// Request returns a PKCS #10 request for the key, which shows another controller that it is there.
func (p *Peer) Request() ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, p.key)
}

// Renew writes a fresh certificate, for a day. The key stays, so whoever reads one of the files before and the other after has a pair.
func (p *Peer) Renew(a *Authority, now time.Time) error {
	id := role.Identity{Role: role.Controller, Name: p.name}
	leaf, err := a.sign(p.key.Public(), id, period{now, lifeServer}, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
		c.DNSNames = []string{PeerName}
	})
	if err != nil {
		return fmt.Errorf("issue the certificate of %s among controllers: %w", id, err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: leaf.Raw})
	if err := files.Replace(p.CertFile(), text, 0o600); err != nil {
		return fmt.Errorf("keep the certificate of %s among controllers: %w", id, err)
	}
	return nil
}

// renewPeerEvery is how often the certificate is renewed: it is valid for a day, so a disk may be full for most of one.
const renewPeerEvery = time.Hour

// Keep renews the certificate until ctx ends, and tells what went wrong with it.
func (p *Peer) Keep(ctx context.Context, a *Authority, clock func() time.Time, told func(error)) {
	tick := time.NewTicker(renewPeerEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := p.Renew(a, clock()); err != nil {
				told(err)
			}
		}
	}
}
