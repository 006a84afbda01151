package authority

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"ropeway/internal/diag"
)

// load reads an authority that was made. The error is fs.ErrNotExist where none was.
func (s store) load(name string, now time.Time) (*Authority, error) {
	der, err := s.block(caFile, certificateBlock)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, problem(codeDamaged, s.dir.Path(caFile), "does not hold a certificate")
	}
	issuer, err := s.made(caKeyFile)
	if err != nil {
		return nil, err
	}
	signer, planKey, err := s.planKey()
	if errors.Is(err, fs.ErrNotExist) {
		err = problem(codeDamaged, s.dir.Path(signKeyFile), "is missing, and "+caFile+" is there")
	}
	if err != nil {
		return nil, err
	}
	if k, ok := issuer.Public().(*ecdsa.PublicKey); !ok || !k.Equal(certificate.PublicKey) {
		return nil, problem(codeDamaged, s.dir.Path(caKeyFile), "is not the key of "+caFile)
	}
	above, err := s.above()
	if err == nil {
		err = s.same(certificate, above)
	}
	if err != nil {
		return nil, err
	}
	return &Authority{certificate, issuer, signer, planKey, above}, s.judge(certificate, name, now)
}

// made reads a key that must be there, because the certificate is.
func (s store) made(file string) (sealed, error) {
	k, err := s.key(file)
	if errors.Is(err, fs.ErrNotExist) {
		return sealed{}, problem(codeDamaged, s.dir.Path(file), "is missing, and "+caFile+" is there")
	}
	return k, err
}

// judge refuses a certificate that clients would not believe, and that of somebody else.
func (s store) judge(c *x509.Certificate, name string, now time.Time) error {
	path := s.dir.Path(caFile)
	switch {
	case !c.BasicConstraintsValid || !c.IsCA || !c.MaxPathLenZero || c.KeyUsage&x509.KeyUsageCertSign == 0 || c.CheckSignatureFrom(c) != nil:
		return problem(codeDamaged, path, "is not the certificate of an authority that signed itself and signs no further one")
	case c.Subject.CommonName != commonName(name):
		return problem(codeForeign, path, fmt.Sprintf("is that of %s, and not of %s", diag.Quote(c.Subject.CommonName), name))
	case now.Before(c.NotBefore) || now.After(c.NotAfter):
		return problem(codeInvalidNow, path, fmt.Sprintf("is valid from %s to %s, and it is %s here",
			c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly), now.UTC().Format(time.DateTime)))
	}
	return nil
}
