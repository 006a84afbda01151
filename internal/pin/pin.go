// Package pin is how the two ends of a connection to a controller know each other.
//
// A client knows one thing of the controllers beforehand: their pin, the hash of the public key of their certificate authority. It stands
// in the token that the client enrolls with, and is as good as the authority's certificate, which every controller sends with its own. So
// a client believes a server whose chain holds that authority, whose certificate the authority signed, for a server, for the host that was
// asked and for a controller, and which is valid now. The system's authorities count for nothing.
//
// Who somebody is stands in his certificate (Holder). The package is apart from the authority's because it is all that an agent links.
package pin

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"ropeway/internal/diag"
	"ropeway/internal/role"
)

// Why a client believes no server. Test with errors.Is; what else is wrong with a certificate is an error of package x509.
var (
	ErrPin    = errors.New("the server does not show the certificate authority that was pinned")
	ErrServer = errors.New("the server is no controller")
)

// ErrHolder is returned for a certificate that names nobody. Test with errors.Is.
var ErrHolder = errors.New("the certificate does not name one identity of Ropeway's")

// Of returns the pin of an authority: the SHA-256 of its SubjectPublicKeyInfo in DER (as RFC 7469, section 2.4).
func Of(authority *x509.Certificate) [sha256.Size]byte {
	return sha256.Sum256(authority.RawSubjectPublicKeyInfo)
}

// Holder returns whose certificate it is. That somebody trusted signed it is for others to see to.
func Holder(c *x509.Certificate) (role.Identity, error) {
	if len(c.URIs) != 1 {
		return role.Identity{}, fmt.Errorf("%w: it has %d URIs", ErrHolder, len(c.URIs))
	}
	id, err := role.FromURI(c.URIs[0].String())
	if err != nil {
		return role.Identity{}, fmt.Errorf("%w: %w", ErrHolder, err)
	}
	return id, nil
}

// A Client is how a client speaks to one controller.
type Client struct {
	Pin         [sha256.Size]byte
	Host        string                           // the DNS name or IP address that it asks for
	Certificate func() (*tls.Certificate, error) // its own as it is now, renewed meanwhile; nil before it has one
	Now         func() time.Time                 // nil for time.Now
}

// TLS returns the configuration: TLS 1.3, HTTP/2, no session resumed, so that every connection is judged anew.
func (c Client) TLS() *tls.Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		ServerName: c.Host,
		Time:       c.Now,
		// Package tls would ask the system's authorities, and cannot be told of a pin. VerifyConnection does all of it instead.
		InsecureSkipVerify: true, //nolint:gosec // see above
		VerifyConnection:   c.verify,
	}
	if c.Certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.Certificate() }
	}
	return config
}

// verify takes the host from the client: the state has it only where it is a DNS name.
func (c Client) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 || c.Host == "" {
		return ErrServer
	}
	leaf, authorities := state.PeerCertificates[0], x509.NewCertPool()
	pinned := false
	for _, shown := range state.PeerCertificates[1:] {
		if Of(shown) == c.Pin && isAuthority(shown) {
			authorities.AddCert(shown)
			pinned = true
		}
	}
	if !pinned {
		return ErrPin
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: authorities, DNSName: c.Host, CurrentTime: c.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("believe the server at %s: %w", diag.Quote(c.Host), err)
	}
	if id, err := Holder(leaf); err != nil || id.Role != role.Controller {
		return fmt.Errorf("%w: it is %s", ErrServer, id)
	}
	return nil
}

// isAuthority also sees to it that the authority itself made the certificate: somebody else could put its public key into one with other
// limits.
func isAuthority(c *x509.Certificate) bool {
	return c.BasicConstraintsValid && c.IsCA && c.KeyUsage&x509.KeyUsageCertSign != 0 && c.CheckSignatureFrom(c) == nil
}
