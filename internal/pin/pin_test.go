package pin_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/url"
	"testing"

	"ropeway/internal/pin"
	"ropeway/internal/role"
)

// How a client judges servers is tested over TLS, by package authority.

func TestOf(t *testing.T) {
	public := ed25519.NewKeyFromSeed(make([]byte, 32)).Public()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	if got := pin.Of(&x509.Certificate{RawSubjectPublicKeyInfo: der}); got != sha256.Sum256(der) {
		t.Errorf("the pin is %x", got)
	}
}

func TestHolder(t *testing.T) {
	for name, c := range map[string]struct {
		uris []string
		want role.Identity
	}{
		"a gateway":         {[]string{"ropeway://gateway/use1-a"}, role.Identity{Role: role.Gateway, Name: "use1-a"}},
		"a controller":      {[]string{"ropeway://controller/one"}, role.Identity{Role: role.Controller, Name: "one"}},
		"nobody":            {nil, role.Identity{}},
		"two":               {[]string{"ropeway://viewer/ann", "ropeway://admin/ann"}, role.Identity{}},
		"the same twice":    {[]string{"ropeway://viewer/ann", "ropeway://viewer/ann"}, role.Identity{}},
		"somebody else's":   {[]string{"spiffe://example.net/ann"}, role.Identity{}},
		"an unknown role":   {[]string{"ropeway://root/ann"}, role.Identity{}},
		"another spelling":  {[]string{"ropeway://admin/an%6e"}, role.Identity{}},
		"more than a name":  {[]string{"ropeway://admin/ann?x#y"}, role.Identity{}},
		"a user and a port": {[]string{"ropeway://x@admin:1/ann"}, role.Identity{}},
	} {
		certificate := &x509.Certificate{}
		for _, text := range c.uris {
			uri, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			certificate.URIs = append(certificate.URIs, uri)
		}
		id, err := pin.Holder(certificate)
		if refused := c.want == (role.Identity{}); id != c.want || refused != errors.Is(err, pin.ErrHolder) {
			t.Errorf("%s: %v, %v", name, id, err)
		}
	}
}
