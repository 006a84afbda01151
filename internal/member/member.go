// Package member is what a gateway or a person keeps of a controller that it belongs to: where it is, how to know it again, and who one is to
// it. It stands in one file of mode 0600, which is replaced whole when the certificate in it is renewed.
//
// The key was made here and never leaves. The controller is known by its certificate authority's key, which the enrollment token named; the
// authority that signs plans by a key of its own, so that one who takes the controller over still cannot make a gateway follow him where
// that key is elsewhere.
package member

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"time"

	"ropeway/internal/files"
	"ropeway/internal/role"
)

// A Member is the content of the file.
type Member struct {
	Version   string            `json:"version"` // "ropeway/v1"
	Identity  string            `json:"identity"`
	Fabric    string            `json:"fabric"`
	Servers   []string          `json:"servers"`   // https://host:port, the one that answered last first
	Pin       []byte            `json:"pin"`       // SHA-256 of the public key of the controller's authority
	Authority ed25519.PublicKey `json:"authority"` // who signs plans
	Chain     [][]byte          `json:"chain"`     // the certificate, then those of its issuers, in DER
	Key       []byte            `json:"key"`       // PKCS #8; the file is 0600

	Dial func(ctx context.Context, network, address string) (net.Conn, error) `json:"-"` // how to connect; nil: as this machine does

	book *book // where it is kept; nil before it was
}

const version = "ropeway/v1"

// maxFile is more than a membership takes, in bytes.
const maxFile = 64 << 10

// ErrMissing is returned by Load where there is no membership. Test with errors.Is.
var ErrMissing = errors.New("this machine has not been enrolled")

// Load reads a membership, and refuses a file that others may read.
func Load(path string) (*Member, error) {
	dir, err := files.OpenSecrets(filepath.Dir(path))
	var data []byte
	if err == nil {
		defer func() { _ = dir.Close() }()
		data, err = dir.Read(filepath.Base(path), maxFile)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", path, ErrMissing)
	}
	if err != nil {
		return nil, err
	}
	defer clear(data)
	m := &Member{}
	if json.Unmarshal(data, m) != nil { // what is wrong may quote the key
		return nil, fmt.Errorf("read %s: it is no membership of this version", path)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	m.book = &book{path: path}
	return m, nil
}

func (m *Member) check() error {
	if _, err := role.Parse(m.Identity); err != nil {
		return err
	}
	if m.Version != version || len(m.Servers) == 0 || len(m.Pin) != 32 || len(m.Authority) != ed25519.PublicKeySize || len(m.Chain) == 0 {
		return errors.New("it is no membership of this version")
	}
	if _, err := m.signer(); err != nil {
		return err
	}
	_, err := m.leaf()
	return err
}

func (m *Member) save(path string) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	defer clear(data)
	return files.Replace(path, data, 0o600)
}

// leaf returns the certificate.
func (m *Member) leaf() (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(m.Chain[0])
	if err != nil {
		return nil, errors.New("its certificate cannot be read")
	}
	return c, nil
}

// Aging reports whether two thirds of the certificate's time are over, and it should be renewed.
func (m *Member) Aging(now time.Time) bool {
	c, err := m.leaf()
	return err != nil || now.Sub(c.NotBefore) > c.NotAfter.Sub(c.NotBefore)*2/3
}

// Name returns the name in the identity: of the gateway, or of the person.
func (m *Member) Name() string {
	id, _ := role.Parse(m.Identity) // check did
	return id.Name
}

func (m *Member) signer() (crypto.Signer, error) {
	k, err := x509.ParsePKCS8PrivateKey(m.Key)
	signer, ok := k.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("its key cannot be read")
	}
	return signer, nil
}

func newKey() (crypto.Signer, []byte, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	return k, der, err
}

func request(signer crypto.Signer) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, signer)
}
