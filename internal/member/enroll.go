package member

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/url"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/token"
)

// Beside is what somebody brings to an enrollment beside his token. The zero value is nothing.
type Beside struct {
	PublicKeys map[string]string // of a gateway's WireGuard devices
	PlanKey    ed25519.PublicKey // that signs plans, where he knows it beforehand; nil: the controller is believed
}

// ErrPlanKey is returned where a controller tells of another key than the one that was known beforehand. Test with errors.Is.
var ErrPlanKey = errors.New("the controller says that plans are signed with another key than the one that was given")

// Enroll makes this machine what a token is for, and writes the membership. The key is on disk before the token is used up, so that a run that is cut
// short can be known by it; the token serves once in any case.
func Enroll(ctx context.Context, path, server string, t token.Token, with Beside) (*Member, error) {
	if err := checkServer(server); err != nil {
		return nil, err
	}
	signer, der, err := newKey()
	if err != nil {
		return nil, err
	}
	csr, err := request(signer)
	if err != nil {
		return nil, err
	}
	pinned := t.Pin()
	m := &Member{Version: version, Servers: []string{server}, Pin: pinned[:], Key: der}
	http, err := m.stranger(server)
	if err != nil {
		return nil, err
	}
	defer http.CloseIdleConnections()
	client := ropewayv1connect.NewEnrollmentServiceClient(http, server)
	answer, err := client.Enroll(ctx, &ropewayv1.EnrollRequest{Token: t.Reveal(), Csr: csr, PublicKeys: with.PublicKeys})
	if err != nil {
		return nil, fmt.Errorf("enroll with %s: %w", server, err)
	}
	m.Identity, m.Fabric, m.Authority, m.Chain = answer.Identity, answer.Fabric, answer.Authority, answer.Certificate.GetChain()
	if len(m.Chain) == 0 {
		return nil, errors.New("enroll: the controller sent no certificate")
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("enroll: the controller's answer: %w", err)
	}
	if with.PlanKey != nil && !with.PlanKey.Equal(m.Authority) {
		return nil, fmt.Errorf("enroll: %w", ErrPlanKey)
	}
	if err := m.save(path); err != nil {
		return nil, err
	}
	m.book = &book{path: path}
	return m, nil
}

// Renew brings a fresh certificate for the same key, and writes it.
func (m *Member) Renew(ctx context.Context, path, server string) error {
	signer, err := m.signer()
	if err != nil {
		return err
	}
	csr, err := request(signer)
	if err != nil {
		return err
	}
	http, err := m.HTTP(server)
	if err != nil {
		return err
	}
	defer http.CloseIdleConnections()
	answer, err := ropewayv1connect.NewEnrollmentServiceClient(http, server).Renew(ctx, &ropewayv1.RenewRequest{Csr: csr})
	if err != nil {
		return fmt.Errorf("renew the certificate: %w", err)
	}
	next := *m
	next.Chain = answer.Certificate.GetChain()
	if len(next.Chain) == 0 {
		return errors.New("renew the certificate: the controller sent none")
	}
	if err := next.check(); err != nil {
		return fmt.Errorf("renew the certificate: %w", err)
	}
	if err := next.save(path); err != nil {
		return err
	}
	*m = next
	return nil
}

func checkServer(server string) error {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" || u.User != nil {
		return errors.New("a controller is named as https://HOST:PORT")
	}
	return nil
}
