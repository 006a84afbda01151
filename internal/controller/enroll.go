package controller

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/key"
	"ropeway/internal/role"
	"ropeway/internal/store"
	"ropeway/internal/token"
)

// enrollmentService makes members out of those who have a token.
type enrollmentService struct{ *Controller }

// certificateLife is how long a certificate lasts. Whoever has one renews it when two thirds are over.
const certificateLife = 24 * time.Hour

var errToken = errors.New("the token is not one that serves: it was used, has expired, was revoked, or is none of this controller's")

// shown reads what somebody shows who wants to become a member: a token, and a request that tells his key.
func shown(text string, csr []byte) (t token.Token, fingerprint [sha256.Size]byte, err error) {
	if t, err = token.Parse(text); err != nil {
		return t, fingerprint, connect.NewError(connect.CodePermissionDenied, errToken)
	}
	if fingerprint, err = fingerprintOf(csr); err != nil {
		return t, fingerprint, connect.NewError(connect.CodeInvalidArgument, err)
	}
	return t, fingerprint, nil
}

// Enroll implements ropewayv1connect.EnrollmentServiceHandler. Everything is checked before the token is used up.
func (s enrollmentService) Enroll(ctx context.Context, req *ropewayv1.EnrollRequest) (*ropewayv1.EnrollResponse, error) {
	t, fingerprint, err := shown(req.Token, req.Csr)
	if err != nil {
		return nil, err
	}
	keys, err := publicKeys(req.PublicKeys)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	now := s.opts.Now()
	redeemed, err := s.opts.Store.Redeem(ctx, t.Hash(), now, func(t store.Token) store.Member {
		if strings.HasPrefix(t.Identity, controllerPrefix) { // its token is for Join
			return store.Member{}
		}
		return store.Member{Identity: t.Identity, Fingerprint: fingerprint, PublicKeys: req.PublicKeys, At: now, Places: t.Places}
	})
	if err != nil {
		s.log.Warn("an enrollment was refused", "token", t.ID(), "error", err)
	} else {
		s.roster.Doubt(redeemed.Identity) // somebody else may have been that until now
	}
	if errors.Is(err, store.ErrToken) {
		return nil, connect.NewError(connect.CodePermissionDenied, errToken)
	}
	if err != nil {
		return nil, asked(err)
	}
	id, err := role.Parse(redeemed.Identity)
	if err != nil {
		return nil, err
	}
	if k, ok := keys[deviceName]; ok && id.Role == role.Gateway {
		if err := s.desk.know(ctx, id.Name, k, now); err != nil {
			return nil, err
		}
	}
	certificate, err := s.issue(ctx, req.Csr, id, now)
	if err != nil {
		return nil, err
	}
	s.log.Info("enrolled", "identity", id.String())
	return &ropewayv1.EnrollResponse{
		Certificate: certificate, Authority: s.opts.Authority.PublicKey(), Fabric: s.opts.Fabric, Identity: id.String(),
	}, nil
}

// deviceName is the device whose key a plan names; see compile.
const deviceName = "rw0"

// Renew implements ropewayv1connect.EnrollmentServiceHandler. The key must be the one that was enrolled: a stolen certificate does not become another's.
func (s enrollmentService) Renew(ctx context.Context, req *ropewayv1.RenewRequest) (*ropewayv1.RenewResponse, error) {
	id := callerOf(ctx)
	fingerprint, err := fingerprintOf(req.Csr)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	m, err := s.roster.Member(ctx, id.String())
	if err != nil {
		return nil, err
	}
	if m.Revoked || m.Fingerprint != fingerprint {
		return nil, connect.NewError(connect.CodePermissionDenied, errors.New("a certificate is renewed for the key that was enrolled, while its owner is a member"))
	}
	certificate, err := s.issue(ctx, req.Csr, id.Identity, s.opts.Now())
	if err != nil {
		return nil, err
	}
	return &ropewayv1.RenewResponse{Certificate: certificate}, nil
}

func (s enrollmentService) issue(ctx context.Context, csr []byte, id role.Identity, now time.Time) (*ropewayv1.Certificate, error) {
	chain, notAfter, err := s.opts.Authority.Issue(csr, id, now, certificateLife)
	if err != nil {
		return nil, err
	}
	if err := s.opts.Store.NoteEnd(ctx, id.String(), notAfter); err != nil { // it is for people to read: nobody is kept out for want of it
		s.log.Warn("it was not noted until when a certificate is good", "identity", id.String(), "error", err)
	}
	return &ropewayv1.Certificate{Chain: chain, NotAfter: timestamppb.New(notAfter)}, nil
}

// fingerprintOf returns the SHA-256 of the public key of a certificate request.
func fingerprintOf(csr []byte) (sum [sha256.Size]byte, err error) {
	r, err := x509.ParseCertificateRequest(csr)
	if err == nil {
		err = r.CheckSignature()
	}
	if err != nil {
		return sum, errors.New("the certificate request cannot be read, or is not signed with its own key")
	}
	return sha256.Sum256(r.RawSubjectPublicKeyInfo), nil
}

// publicKeys reads the WireGuard keys of a gateway's devices.
func publicKeys(text map[string]string) (map[string]key.Public, error) {
	const most = 64
	if len(text) > most {
		return nil, errors.New("a gateway has no so many devices")
	}
	out := map[string]key.Public{}
	for device, t := range text {
		k, err := key.ParsePublic(t)
		if err != nil || k.IsZero() {
			return nil, errors.New("a public key is 32 bytes in base64, and not all zero")
		}
		out[device] = k
	}
	return out, nil
}
