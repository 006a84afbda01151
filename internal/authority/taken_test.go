package authority

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ropeway/internal/diag"
	"ropeway/internal/pin"
	"ropeway/internal/role"
)

// A company has a root, and makes CAs below it.
type company struct {
	t    *testing.T
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCompany(t *testing.T) *company {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"Example"}, CommonName: "Example Root"}, NotBefore: noon.AddDate(-5, 0, 0), NotAfter: noon.AddDate(5, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(t, err)
	root, err := x509.ParseCertificate(der)
	must(t, err)
	return &company{t, root, key}
}

// ca makes a CA for a fabric, as a careful company would, and as changed.
func (c *company) ca(public crypto.PublicKey, change func(*x509.Certificate)) *x509.Certificate {
	c.t.Helper()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{Organization: []string{"Example"}, CommonName: "Ropeway authority of shop"},
		NotBefore: noon.AddDate(0, -1, 0), NotAfter: noon.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true, PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"example.net"},
		SubjectKeyId: []byte("of the company's own making"),
	}
	if change != nil {
		change(ca)
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, c.root, public, c.key)
	must(c.t, err)
	made, err := x509.ParseCertificate(der)
	must(c.t, err)
	return made
}

// caFiles writes a CA as OpenSSL would.
func caFiles(t *testing.T, key any, certificates ...*x509.Certificate) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key")
	write(t, certFile, encodeAbove(certificates))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return certFile, keyFile
}

// taken makes an authority of a company's CA.
func taken(t *testing.T, c *company, key *ecdsa.PrivateKey, ca *x509.Certificate) (*Authority, string) {
	t.Helper()
	certFile, keyFile := caFiles(t, key, ca, c.root)
	dir := filepath.Join(t.TempDir(), "authority")
	for range 2 { // what was cut short is done again
		must(t, TakeCA(dir, "shop", certFile, keyFile, noon))
	}
	a, err := Open(dir, "shop", noon)
	must(t, err)
	return a, dir
}

// Clients of Ropeway's know the key by its pin, others the controller by the company's root.
func TestACATakenFromElsewhere(t *testing.T) {
	c, key := newCompany(t), newKey(t)
	w := &world{t: t}
	w.now.Store(noon.Unix())
	var dir string
	w.a, dir = taken(t, c, key, c.ca(key.Public(), nil))
	if !key.PublicKey.Equal(w.a.Certificate().PublicKey) || w.a.Certificate().CheckSignatureFrom(w.a.Certificate()) != nil {
		t.Error("the authority's certificate is not one of that key, by itself")
	}
	config, err := w.a.ServerTLS("one", Hosts{Names: []string{"ctl.example.net"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}, w.clock)
	must(t, err)
	w.serve(config)
	ada := role.Identity{Role: role.Admin, Name: "ada"}
	if got, err := w.get(w.client(w.certificate(ada)).TLS()); err != nil || got != "HTTP/2.0 admin/ada" {
		t.Errorf("a client of Ropeway's: %q, %v", got, err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c.root)
	browser := func() *tls.Config {
		return &tls.Config{RootCAs: roots, ServerName: "ctl.example.net", Time: w.clock, MinVersion: tls.VersionTLS13}
	}
	if got, err := w.get(browser()); err != nil || got != "HTTP/2.0 "+(role.Identity{}).String() {
		t.Errorf("somebody who knows the company's root: %q, %v", got, err)
	}
	if state := w.a.chain(); len(state) != 2 {
		t.Errorf("%d certificates are shown beside the controller's: the root is nobody's to send", len(state))
	}

	// The company's certificate ends, and the fabric goes on.
	w.now.Store(noon.AddDate(1, 1, 0).Unix())
	if _, err := Open(dir, "shop", w.clock()); err != nil {
		t.Errorf("a controller starts: %v", err)
	}
	if _, err := w.get(w.client(w.certificate(ada)).TLS()); err != nil {
		t.Errorf("a client of Ropeway's, a year later: %v", err)
	}
	if _, err := w.get(browser()); err == nil {
		t.Error("the company's certificate is over, and believed")
	}
}

// What a company's root says of anybody counts for nothing in the fabric, in neither direction.
func TestACompanysRootIsNotBelieved(t *testing.T) {
	c, key := newCompany(t), newKey(t)
	w := &world{t: t}
	w.now.Store(noon.Unix())
	w.a, _ = taken(t, c, key, c.ca(key.Public(), nil))
	hosts := Hosts{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}
	config, err := w.a.ServerTLS("one", hosts, w.clock)
	must(t, err)
	w.serve(config)

	otherKey := newKey(t)
	other, _ := taken(t, c, otherKey, c.ca(otherKey.Public(), nil)) // the same company, the same name
	foreign := &world{t: t, a: other}
	foreign.now.Store(noon.Unix())
	if got, err := w.get(w.client(foreign.certificate(role.Identity{Role: role.Admin, Name: "eve"})).TLS()); err == nil {
		t.Errorf("another CA of the company's makes an administrator: %s", got)
	}

	leaf, err := w.a.IssueServer("one", hosts, noon, time.Hour)
	must(t, err)
	show := func(what string, chain ...[]byte) {
		t.Helper()
		w.serve(&tls.Config{Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: leaf.PrivateKey}}, MinVersion: tls.VersionTLS13})
		if _, err := w.get(w.client(nil).TLS()); !errors.Is(err, pin.ErrPin) {
			t.Errorf("%s: %v", what, err)
		}
	}
	show("the company's certificate of the pinned key alone", leaf.Certificate[0], leaf.Certificate[1], c.root.Raw)
	wide := newCompany(t).ca(key.Public(), func(ca *x509.Certificate) { ca.MaxPathLenZero, ca.NotAfter = false, noon.AddDate(100, 0, 0) })
	show("the pinned key with other limits, by another company", leaf.Certificate[0], wide.Raw)
}

// Whatever travels to other controllers and into backups holds it, and nothing of it can be exchanged.
func TestATakenCATravels(t *testing.T) {
	c, key := newCompany(t), newKey(t)
	a, dir := taken(t, c, key, c.ca(key.Public(), nil))
	again := filepath.Join(t.TempDir(), "authority")
	b, err := Unpack(again, "shop", mustPack(t, dir), noon)
	must(t, err)
	if b.Pin() != a.Pin() || !bytes.Equal(bytes.Join(b.chain(), nil), bytes.Join(a.chain(), nil)) {
		t.Error("another controller shows something else")
	}
	otherKey := newKey(t)
	for what, chain := range map[string][]byte{
		"another key's":  encodeAbove([]*x509.Certificate{c.ca(otherKey.Public(), nil), c.root}),
		"another name's": encodeAbove([]*x509.Certificate{c.ca(key.Public(), func(ca *x509.Certificate) { ca.Subject.CommonName = "Ropeway authority of shoe" })}),
		"noise":          []byte("noise"), "nothing": {},
	} {
		remove(t, filepath.Join(again, chainFile))
		write(t, filepath.Join(again, chainFile), chain)
		if _, err := Open(again, "shop", noon); !refusedWith(err, codeDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	remove(t, filepath.Join(dir, caFile))
	remove(t, filepath.Join(dir, caKeyFile))
	if _, err := Open(dir, "shop", noon); !refusedWith(err, codeDamaged) {
		t.Errorf("a chain without its key: %v", err)
	}
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestCAsThatAreNotTaken(t *testing.T) {
	c, key := newCompany(t), newKey(t)
	changed := func(change func(*x509.Certificate)) []*x509.Certificate {
		return []*x509.Certificate{c.ca(key.Public(), change), c.root}
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	stranger := newCompany(t)
	for what, c := range map[string]struct {
		key   any
		chain []*x509.Certificate
	}{
		"another's key":        {newKey(t), changed(nil)},
		"RSA":                  {rsaKey, []*x509.Certificate{c.ca(rsaKey.Public(), nil)}},
		"P-384":                {p384, []*x509.Certificate{c.ca(p384.Public(), nil)}},
		"an RSA key for P-256": {rsaKey, changed(nil)},
		"no CA":                {key, changed(func(ca *x509.Certificate) { ca.IsCA, ca.MaxPathLenZero, ca.PermittedDNSDomains = false, false, nil })},
		"a CA of CAs":          {key, changed(func(ca *x509.Certificate) { ca.MaxPathLenZero = false })},
		"that signs nothing":   {key, changed(func(ca *x509.Certificate) { ca.KeyUsage = x509.KeyUsageDigitalSignature })},
		"another fabric's":     {key, changed(func(ca *x509.Certificate) { ca.Subject.CommonName = "Ropeway authority of shoe" })},
		"the company's own":    {key, changed(func(ca *x509.Certificate) { ca.Subject.CommonName = "Example Issuing CA" })},
		"for mail":             {key, changed(func(ca *x509.Certificate) { ca.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} })},
		"over":                 {key, changed(func(ca *x509.Certificate) { ca.NotAfter = noon.AddDate(0, 0, -1) })},
		"not yet":              {key, changed(func(ca *x509.Certificate) { ca.NotBefore = noon.AddDate(0, 0, 1) })},
		"unknown limits": {key, changed(func(ca *x509.Certificate) {
			ca.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		})},
		"a chain that is none": {key, []*x509.Certificate{c.ca(key.Public(), nil), stranger.root}},
		"the wrong way round":  {key, []*x509.Certificate{c.root, c.ca(key.Public(), nil)}},
		"none":                 {key, nil},
		"too many":             {key, append(changed(nil), c.root, c.root, c.root)},
	} {
		certFile, keyFile := caFiles(t, c.key, c.chain...)
		dir := filepath.Join(t.TempDir(), "authority")
		err := TakeCA(dir, "shop", certFile, keyFile, noon)
		var p diag.Problem
		if !errors.As(err, &p) || p.Code != codeTaken || p.Hint == "" {
			t.Errorf("%s: %v", what, err)
		}
		if Exists(dir) || there(filepath.Join(dir, caKeyFile)) {
			t.Errorf("%s: something was taken", what)
		}
	}
}

// A file that others read is no key, and an authority that is there stays.
func TestACAThatComesTooLate(t *testing.T) {
	c, key := newCompany(t), newKey(t)
	certFile, keyFile := caFiles(t, key, c.ca(key.Public(), nil))
	_, dir := fresh(t)
	if err := TakeCA(dir, "shop", certFile, keyFile, noon); !refusedWith(err, codeForeign) {
		t.Errorf("over an authority: %v", err)
	}
	must(t, os.Chmod(keyFile, 0o644))
	if err := TakeCA(filepath.Join(t.TempDir(), "authority"), "shop", certFile, keyFile, noon); !refusedWith(err, codeTaken) {
		t.Errorf("a key that others read: %v", err)
	}
}

// FuzzAbove: whatever stands in the file, each certificate that is read is signed by the next, and it is written as it was read.
func FuzzAbove(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := selfSigned(key, "shop", nil, noon)
	if err != nil {
		f.Fatal(err)
	}
	own := pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der})
	f.Add(own)
	f.Add(bytes.Repeat(own, 2)) // it signed itself, so it is above itself
	f.Fuzz(func(t *testing.T, text []byte) {
		above := parseAbove(text)
		if above != nil && len(parseAbove(encodeAbove(above))) != len(above) {
			t.Errorf("%q", text)
		}
	})
}
