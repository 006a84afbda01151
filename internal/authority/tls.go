package authority

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
	"time"
)

// lifeServer is for how long the certificate of a controller is valid. It is renewed when two thirds are over, so a clock may be hours off.
const lifeServer = 24 * time.Hour

// ServerTLS returns the configuration of the controller of that name: TLS 1.3, HTTP/2 and 1.1, and clients that show a certificate of this
// authority's or none. One that shows another is refused in the handshake. No session is resumed: what a certificate was worth an hour
// ago says nothing. The configuration bounds no handshake in time; the server's deadlines do (ReadHeaderTimeout of net/http).
func (a *Authority) ServerTLS(name string, at Hosts, clock func() time.Time) (*tls.Config, error) {
	s := &serving{issue: func() (*tls.Certificate, error) { return a.IssueServer(name, at, clock(), lifeServer) }, clock: clock}
	if _, err := s.get(nil); err != nil { // what cannot be issued shows at the start
		return nil, err
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.certificate)
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{"h2", "http/1.1"},
		Time:                   clock,
		GetCertificate:         s.get,
		ClientAuth:             tls.VerifyClientCertIfGiven,
		ClientCAs:              clients,
		SessionTicketsDisabled: true,
		// A message to a gateway is one record and one system call. Package tls would begin with many small ones, as suits web pages.
		DynamicRecordSizingDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return nil
			}
			_, err := IdentityOf(&state, clock())
			return err
		},
	}, nil
}

// serving is a certificate that is renewed while it serves.
type serving struct {
	issue func() (*tls.Certificate, error)
	clock func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
}

// get returns a certificate that is valid for a good while. Where none can be made, the one that there is serves to its end.
func (s *serving) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	if s.current != nil {
		leaf := s.current.Leaf
		fresh := leaf.NotAfter.Add(-lifeServer / 3)
		if now.After(leaf.NotBefore) && now.Before(fresh) { // a clock that was set back leaves it in the future
			return s.current, nil
		}
	}
	renewed, err := s.issue()
	switch {
	case err == nil:
		s.current = renewed
	case s.current == nil || now.After(s.current.Leaf.NotAfter):
		return nil, fmt.Errorf("renew the controller's certificate: %w", err)
	}
	return s.current, nil
}
