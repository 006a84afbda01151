package authority

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	"ropeway/internal/pin"
	"ropeway/internal/role"
)

// TestServersThatAreRefused: whatever is not the controller that was asked for. The servers say yes to everything.
func TestServersThatAreRefused(t *testing.T) {
	w := newWorld(t)
	other, _ := fresh(t)
	hosts := Hosts{Names: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}
	issued := func(a *Authority, at Hosts, now time.Time) *tls.Certificate {
		c, err := a.IssueServer("one", at, now, time.Hour)
		must(t, err)
		return c
	}
	alone := issued(w.a, hosts, noon)
	alone.Certificate = alone.Certificate[:1]
	pasted := issued(other, hosts, noon)
	pasted.Certificate = append(pasted.Certificate, w.a.Certificate().Raw)
	host := func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = hosts.Names, hosts.IPs }
	gatewayForServers := w.leaf(gateway, func(c *x509.Certificate) {
		host(c)
		c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	})
	for name, c := range map[string]struct {
		certificate *tls.Certificate
		want        error // nil: any
	}{
		"another authority":                    {issued(other, hosts, noon), pin.ErrPin},
		"another authority beside the pinned":  {pasted, nil},
		"no authority in the chain":            {alone, pin.ErrPin},
		"the pinned key in a forged authority": {forged(t, w.a, issued(w.a, hosts, noon)), pin.ErrPin},
		"a gateway":                            {got(t, w.certificate(gateway)), nil},
		"a gateway that has the host":          {got(t, w.leaf(gateway, host)), nil},
		"a gateway that may serve":             {got(t, gatewayForServers), pin.ErrServer},
		"a controller as a client":             {got(t, w.leaf(role.Identity{Role: role.Controller, Name: "one"}, host)), nil},
		"an expired certificate":               {issued(w.a, hosts, noon.Add(-2*time.Hour)), nil},
		"a certificate of tomorrow":            {issued(w.a, hosts, noon.Add(24*time.Hour)), nil},
		"another host":                         {issued(w.a, Hosts{Names: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 2)}}, noon), nil},
		"another's key":                        {got(t, mixed(t, func() (*tls.Certificate, error) { return issued(w.a, hosts, noon), nil })), nil},
	} {
		w.serve(&tls.Config{Certificates: []tls.Certificate{*c.certificate}, NextProtos: []string{"h2"}})
		answer, err := w.get(w.client(nil).TLS())
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %q, %v, want a refusal, by %v where that is one", name, answer, err, c.want)
		}
	}
	w.serve(&tls.Config{Certificates: []tls.Certificate{*issued(w.a, hosts, noon)}, NextProtos: []string{"h2"}})
	if _, err := w.get(w.client(nil).TLS()); err != nil {
		t.Errorf("the negative control, a server that is right: %v", err)
	}
	hostless := w.client(nil)
	hostless.Host = ""
	zero := w.client(nil)
	zero.Pin = [32]byte{}
	for name, c := range map[string]pin.Client{"no host": hostless, "a zero pin": zero} {
		if _, err := w.get(c.TLS()); err == nil {
			t.Errorf("a client with %s believes the server", name)
		}
	}
}

func got(t *testing.T, certificate func() (*tls.Certificate, error)) *tls.Certificate {
	t.Helper()
	c, err := certificate()
	must(t, err)
	return c
}

// forged is a certificate that the authority signed, with an authority that has the pinned key, other limits, and another's signature.
func forged(t *testing.T, a *Authority, leaf *tls.Certificate) *tls.Certificate {
	t.Helper()
	evil, longer := newKey(t), *a.Certificate()
	longer.NotAfter = longer.NotAfter.Add(lifeCA)
	parent := longer
	parent.PublicKey = evil.Public()
	der, err := x509.CreateCertificate(rand.Reader, &longer, &parent, longer.PublicKey, evil)
	must(t, err)
	leaf.Certificate = [][]byte{leaf.Certificate[0], der}
	return leaf
}
