package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"ropeway/internal/pin"
	"ropeway/internal/role"
)

// gateway is who most tests are.
var gateway = role.Identity{Role: role.Gateway, Name: "use1-a"}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

func request(t *testing.T, k crypto.Signer, template x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, k)
	must(t, err)
	return der
}

func TestIssue(t *testing.T) {
	a, _ := fresh(t)
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	serials := map[string]bool{}
	for _, k := range []crypto.Signer{newKey(t), edwards} {
		for _, id := range []role.Identity{gateway, {Role: role.Viewer, Name: "a"}, {Role: role.Operator, Name: "a"}, {Role: role.Admin, Name: "a"}} {
			chain, notAfter, err := a.Issue(request(t, k, x509.CertificateRequest{}), id, noon, time.Hour)
			if err != nil || len(chain) != 2 || !notAfter.Equal(noon.Add(time.Hour)) {
				t.Fatalf("%s: %d certificates to %v, %v", id, len(chain), notAfter, err)
			}
			leaf, err := x509.ParseCertificate(chain[0])
			must(t, err)
			if holder, err := pin.Holder(leaf); err != nil || holder != id {
				t.Errorf("the certificate of %s is that of %s, %v", id, holder, err)
			}
			if !leaf.NotBefore.Equal(noon.Add(-5*time.Minute)) || !leaf.NotAfter.Equal(notAfter) || leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature ||
				!reflect.DeepEqual(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) {
				t.Errorf("the certificate of %s is %+v", id, leaf)
			}
			if !reflect.DeepEqual(leaf.PublicKey, k.Public()) || string(chain[1]) != string(a.Certificate().Raw) {
				t.Errorf("%s has another key, or another issuer", id)
			}
			if n := leaf.SerialNumber; n.Sign() <= 0 || n.BitLen() > 128 || n.BitLen() < 64 || serials[n.String()] {
				t.Errorf("the serial number is %v", n)
			}
			serials[leaf.SerialNumber.String()] = true
		}
	}
}

// What a request asks for beside its key is not granted.
func TestOnlyTheKeyOfARequestCounts(t *testing.T) {
	a, _ := fresh(t)
	uri, err := url.Parse("ropeway://admin/eve")
	must(t, err)
	isCA, err := asn1.Marshal(struct{ CA bool }{true})
	must(t, err)
	greedy := x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "admin/eve"}, URIs: []*url.URL{uri}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		EmailAddresses: []string{"eve@example.net"}, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: isCA}},
	}
	chain, _, err := a.Issue(request(t, newKey(t), greedy), gateway, noon, time.Hour)
	must(t, err)
	leaf, err := x509.ParseCertificate(chain[0])
	must(t, err)
	if id, err := pin.Holder(leaf); err != nil || id != gateway || leaf.IsCA || len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) != 0 ||
		leaf.Subject.CommonName != "gateway/use1-a" {
		t.Errorf("%v, %v: %+v", id, err, leaf)
	}
}

func TestIssueRefuses(t *testing.T) {
	a, _ := fresh(t)
	good := request(t, newKey(t), x509.CertificateRequest{})
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	tampered := append([]byte{}, good...)
	tampered[len(tampered)-1] ^= 1
	for name, c := range map[string]struct {
		csr  []byte
		id   role.Identity
		now  time.Time
		life time.Duration
		says string
	}{
		"no request":           {nil, gateway, noon, time.Hour, "read the request"},
		"noise":                {[]byte("noise"), gateway, noon, time.Hour, "read the request"},
		"trailing bytes":       {append(append([]byte{}, good...), 0), gateway, noon, time.Hour, "read the request"},
		"a huge request":       {make([]byte, maxRequest+1), gateway, noon, time.Hour, "more than"},
		"somebody else's key":  {tampered, gateway, noon, time.Hour, "signature"},
		"RSA":                  {request(t, rsaKey, x509.CertificateRequest{}), gateway, noon, time.Hour, "neither"},
		"P-384":                {request(t, p384, x509.CertificateRequest{}), gateway, noon, time.Hour, "neither"},
		"nobody":               {good, role.Identity{}, noon, time.Hour, "nobody who gets one"},
		"a hostile name":       {good, role.Identity{Role: role.Admin, Name: "a/../b"}, noon, time.Hour, "nobody who gets one"},
		"a controller":         {good, role.Identity{Role: role.Controller, Name: "one"}, noon, time.Hour, "nobody who gets one"},
		"no life":              {good, gateway, noon, 0, "must be for"},
		"a short life":         {good, gateway, noon, minLife - 1, "must be for"},
		"a long life":          {good, gateway, noon, maxLife + 1, "must be for"},
		"a negative life":      {good, gateway, noon, -time.Hour, "must be for"},
		"before the authority": {good, gateway, noon.Add(-25 * time.Hour), time.Hour, "not valid then"},
		"after the authority":  {good, gateway, noon.Add(lifeCA), time.Hour, "not valid then"},
	} {
		chain, _, err := a.Issue(c.csr, c.id, c.now, c.life)
		if err == nil || chain != nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want something with %q", name, err, c.says)
		}
	}
	_, notAfter, err := a.Issue(good, gateway, noon.Add(lifeCA-time.Hour), 24*time.Hour)
	if err != nil || !notAfter.Equal(a.Certificate().NotAfter) {
		t.Errorf("a certificate outlives its authority: %v, %v", notAfter, err)
	}
}

func TestIssueServerRefuses(t *testing.T) {
	a, _ := fresh(t)
	for name, c := range map[string]struct {
		controller string
		at         Hosts
		life       time.Duration
	}{
		"no name": {"", Hosts{Names: []string{"localhost"}}, time.Hour}, "a hostile name": {"a/b", Hosts{Names: []string{"localhost"}}, time.Hour},
		"no hosts": {"one", Hosts{}, time.Hour}, "a wildcard": {"one", Hosts{Names: []string{"*.example.net"}}, time.Hour},
		"every address": {"one", Hosts{IPs: []net.IP{net.IPv4zero}}, time.Hour}, "no address": {"one", Hosts{IPs: []net.IP{nil}}, time.Hour},
		"an empty host": {"one", Hosts{Names: []string{""}}, time.Hour}, "a hostile host": {"one", Hosts{Names: []string{"a\nb"}}, time.Hour},
		"a long life": {"one", Hosts{Names: []string{"localhost"}}, maxLife + 1},
	} {
		if c, err := a.IssueServer(c.controller, c.at, noon, c.life); err == nil || c != nil {
			t.Errorf("%s: issued", name)
		}
	}
}

// FuzzIssue: whatever a request says, the certificate is for the identity given.
func FuzzIssue(f *testing.F) {
	a, err := Open(f.TempDir()+"/authority", "acme", noon)
	if err != nil {
		f.Fatal(err)
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	good, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, k)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, csr []byte) {
		chain, _, err := a.Issue(csr, gateway, noon, time.Hour)
		if err != nil {
			return
		}
		leaf, err := x509.ParseCertificate(chain[0])
		must(t, err)
		if id, err := pin.Holder(leaf); err != nil || id != gateway || leaf.IsCA || leaf.CheckSignatureFrom(a.Certificate()) != nil {
			t.Errorf("%x became %v, %v", csr, id, err)
		}
	})
}
