package authority

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"ropeway/internal/role"
)

const (
	// Clocks differ. A certificate is valid so much before it was made, for somebody whose clock is behind; it serves nobody longer.
	backdate = 5 * time.Minute
	// The authority is in use before a clock is set for the first time, and its age proves nothing: clocks may be further off.
	backdateCA = 24 * time.Hour

	lifeCA  = 10 * 365 * 24 * time.Hour
	minLife = 5 * time.Minute // less is gone before it is renewed
	maxLife = 90 * 24 * time.Hour
)

// A period is how long a certificate is valid.
type period struct {
	from time.Time
	life time.Duration
}

// sign makes the certificate of one end of a connection.
func (a *Authority) sign(public crypto.PublicKey, id role.Identity, p period, finish func(*x509.Certificate)) (*x509.Certificate, error) {
	if p.life < minLife || p.life > maxLife {
		return nil, fmt.Errorf("it would be valid for %v, and must be for %v to %v", p.life, minLife, maxLife)
	}
	end := p.from.Add(p.life)
	if end.After(a.certificate.NotAfter) {
		end = a.certificate.NotAfter // nobody believes it longer
	}
	if p.from.Before(a.certificate.NotBefore) || end.Sub(p.from) < minLife {
		return nil, fmt.Errorf("the authority's own certificate is not valid then")
	}
	uri, err := url.Parse(id.URI())
	if err != nil {
		return nil, fmt.Errorf("write its URI: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: id.String()}, // for people to see; nobody is believed for it
		NotBefore:             p.from.Add(-backdate),
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{uri},
	}
	finish(c)
	der, err := x509.CreateCertificate(rand.Reader, c, a.certificate, public, a.issuer)
	if err != nil {
		return nil, fmt.Errorf("sign it: %w", err)
	}
	return x509.ParseCertificate(der)
}

// selfSigned makes the certificate of the authority itself. Where it has one from elsewhere, both name the authority alike, so whatever it signs is by both.
func selfSigned(issuer crypto.Signer, name string, above []*x509.Certificate, now time.Time) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName(name)},
		NotBefore:             now.Add(-backdateCA),
		NotAfter:              now.Add(lifeCA),
		KeyUsage:              x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, // and so nothing else that it signs
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	if len(above) > 0 {
		c.RawSubject, c.SubjectKeyId = above[0].RawSubject, above[0].SubjectKeyId
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, issuer.Public(), issuer)
	if err != nil {
		return nil, fmt.Errorf("make the authority's certificate: %w", err)
	}
	return der, nil
}

func commonName(name string) string { return "Ropeway authority of " + name }

// newSerial returns 128 random bits: serials are unique, and nobody foresees what will be signed (RFC 5280, section 4.1.2.2).
func newSerial() (*big.Int, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return new(big.Int).SetBytes(b[:]), nil
}
