package member

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"

	"ropeway/internal/pin"
)

// HTTP returns a client that speaks to the controller's servers as this member, and to nobody else.
func (m *Member) HTTP(server string) (*http.Client, error) {
	signer, err := m.signer()
	if err != nil {
		return nil, err
	}
	// Without its issuer's, which the controller has, and would keep for as long as each connection lasts.
	certificate := &tls.Certificate{Certificate: m.Chain[:min(1, len(m.Chain))], PrivateKey: signer}
	return m.client(server, func() (*tls.Certificate, error) { return certificate, nil })
}

// Stream returns a client like HTTP's for one call that goes on and on, such as watching: over HTTP/1.1, whose connection has nothing else to carry.
// A controller keeps thousands of those for next to nothing (see its lines).
func (m *Member) Stream(server string) (*http.Client, error) {
	client, err := m.HTTP(server)
	if err != nil {
		return nil, err
	}
	transport := client.Transport.(*learner).Transport // client made it
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	transport.ForceAttemptHTTP2, transport.HTTP2 = false, nil
	return client, nil
}

// stranger returns a client that has no certificate yet.
func (m *Member) stranger(server string) (*http.Client, error) { return m.client(server, nil) }

// How long a controller may take. There is no bound for a whole answer: watching has no end.
const (
	dialTimeout   = 5 * time.Second // to connect, and again for TLS
	headerTimeout = 2 * time.Minute // the proof of a large fabric takes its time
	idleTimeout   = 5 * time.Second // what is asked now and then is asked over another connection
	pingAfter     = 15 * time.Second
	pingTimeout   = 10 * time.Second
)

func (m *Member) client(server string, certificate func() (*tls.Certificate, error)) (*http.Client, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	who := pin.Client{Pin: [32]byte(m.Pin), Host: u.Hostname(), Certificate: certificate}
	dial := m.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	transport := &http.Transport{
		DialContext:     dial,
		TLSClientConfig: who.TLS(), TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: headerTimeout,
		IdleConnTimeout:   idleTimeout,
		ForceAttemptHTTP2: true, HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	return &http.Client{
		Transport:     &learner{transport, m, server},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a controller sends nobody elsewhere
	}, nil
}

// Refresh renews the certificate where it is time for that. One that has ended cannot be renewed.
func (m *Member) Refresh(ctx context.Context, path string) error {
	if !m.Aging(time.Now()) {
		return nil
	}
	return m.Renew(ctx, path, m.Servers[0])
}
