package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"time"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/role"
)

// Hosts are where a controller is reached: what clients can ask for.
type Hosts struct {
	Names []string
	IPs   []net.IP
}

// IssueServer returns a certificate for the controller of that name, with a new key, which is nowhere but in memory, and with the
// authority's certificate, for clients that know the pin and nothing else.
func (a *Authority) IssueServer(name string, at Hosts, now time.Time, life time.Duration) (*tls.Certificate, error) {
	id := role.Identity{Role: role.Controller, Name: name}
	if !id.Valid() {
		return nil, fmt.Errorf("issue the certificate of a controller: %s is no DNS label", diag.Quote(name))
	}
	if err := at.check(); err != nil {
		return nil, fmt.Errorf("issue the certificate of %s: its hosts: %w", id, err)
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for %s: %w", id, err)
	}
	leaf, err := a.sign(&k.PublicKey, id, period{now, life}, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		c.DNSNames, c.IPAddresses = at.Names, at.IPs
	})
	if err != nil {
		return nil, fmt.Errorf("issue the certificate of %s: %w", id, err)
	}
	return &tls.Certificate{Certificate: append([][]byte{leaf.Raw}, a.chain()...), PrivateKey: seal(k), Leaf: leaf}, nil
}

// check wants names without wildcards: a controller is asked for by its own.
func (h Hosts) check() error {
	if len(h.Names)+len(h.IPs) == 0 {
		return fmt.Errorf("there are none")
	}
	for _, name := range h.Names {
		for label := range strings.SplitSeq(name, ".") {
			if !fabric.ValidName(label) || len(name) > 253 { // RFC 1035, section 2.3.4, without the root's dot
				return fmt.Errorf("%s is no DNS name", diag.Quote(name))
			}
		}
	}
	for _, ip := range h.IPs {
		if ip.To16() == nil || ip.IsUnspecified() || ip.IsMulticast() {
			return fmt.Errorf("%s is no address of a host", ip)
		}
	}
	return nil
}
