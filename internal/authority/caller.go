package authority

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"ropeway/internal/pin"
	"ropeway/internal/role"
)

// ErrUntrusted is returned for a connection or a certificate that proves nothing. Test with errors.Is.
var ErrUntrusted = errors.New("nobody can be known by it")

// IdentityOf returns who is at the other end of a connection that ServerTLS configured: the zero identity where he showed no certificate.
// It is to be asked for every request, since a connection can outlive the certificate that it began with.
func IdentityOf(state *tls.ConnectionState, now time.Time) (role.Identity, error) {
	switch {
	case state == nil || state.Version < tls.VersionTLS13:
		return role.Identity{}, fmt.Errorf("see who calls: a connection without TLS 1.3: %w", ErrUntrusted)
	case len(state.PeerCertificates) == 0:
		return role.Identity{}, nil
	case len(state.VerifiedChains) == 0:
		return role.Identity{}, fmt.Errorf("see who calls: a certificate that was not verified: %w", ErrUntrusted)
	}
	leaf := state.VerifiedChains[0][0]
	if now.After(leaf.NotAfter) {
		return role.Identity{}, fmt.Errorf("see who calls: a certificate that was valid to %s: %w", leaf.NotAfter.UTC().Format(time.RFC3339), ErrUntrusted)
	}
	id, err := pin.Holder(leaf)
	switch {
	case err != nil:
		return role.Identity{}, fmt.Errorf("see who calls: %w: %w", err, ErrUntrusted)
	case id.Role == role.Controller:
		return role.Identity{}, fmt.Errorf("see who calls: the certificate of a controller, which is no client: %w", ErrUntrusted)
	}
	return id, nil
}
