package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"ropeway/internal/authority"
	"ropeway/internal/files"
	"ropeway/internal/store"
	"ropeway/internal/token"
)

// clustering is what the flags of serve say of other controllers, and of where the store is.
type clustering struct {
	peerURL, peerListen, initial string
	join, tokenText              string
	endpoints                    []string
	etcdCA, etcdCert, etcdKey    string
	quota                        int64 // MiB
	election                     time.Duration
}

func (c *clustering) flags(flags *pflag.FlagSet) {
	flags.StringVar(&c.peerURL, "peer-url", "", "where other controllers reach the store of this one, as https://HOST:2380; without it none can join")
	flags.StringVar(&c.peerListen, "peer-listen", "", "where it listens for them, as https://ADDRESS:2380 (default: --peer-url)")
	flags.StringVar(&c.initial, "initial-cluster", "", "controllers that begin together, as NAME=https://HOST:2380,…; each has a copy of one authority")
	flags.StringVar(&c.join, "join", "", "a controller of the fabric that this one joins at its first start, as https://HOST:8443")
	flags.StringVar(&c.tokenText, "token", "", "the token to join with, or - for standard input")
	flags.StringSliceVar(&c.endpoints, "etcd-endpoints", nil, "an etcd that is there already, as https://HOST:2379,…")
	flags.StringVar(&c.etcdCA, "etcd-ca", "", "file of the certificate authority of that etcd, PEM")
	flags.StringVar(&c.etcdCert, "etcd-cert", "", "file of the certificate to show to it, PEM")
	flags.StringVar(&c.etcdKey, "etcd-key", "", "file of the key of that certificate, PEM")
	flags.DurationVar(&c.election, "election-timeout", store.UsualElection,
		"how long the leader may be silent before others elect one; the same for all, and 10 times the round trip between the farthest two, or more")
	flags.Int64Var(&c.quota, "quota", 2048, "what the store may take on disk, in MiB")
}

// check refuses flags that contradict each other.
func (c *clustering) check(name string) error {
	const more = "ropewayd serve --help says what they are for"
	switch {
	case len(c.endpoints) > 0 && (c.peerURL != "" || c.peerListen != "" || c.initial != ""):
		return problem("RW6001", "the store is either in an etcd that is there already, or in this process", more)
	case c.join != "" && c.initial != "":
		return problem("RW6001", "--join is for a cluster that is there, --initial-cluster for one that is made", more)
	case len(c.endpoints) == 0 && (c.etcdCA != "" || c.etcdCert != "" || c.etcdKey != ""):
		return problem("RW6001", "--etcd-ca, --etcd-cert and --etcd-key are for --etcd-endpoints", more)
	case c.join == "" && c.tokenText != "":
		return problem("RW6001", "--token is for --join", more)
	case c.join != "" && len(c.endpoints) == 0 && c.peerURL == "":
		return problem("RW6001", "--join needs --peer-url: the others have to reach the store of this one", more)
	case c.election < store.LeastElection || c.election > store.MostElection:
		return problem("RW6001", fmt.Sprintf("--election-timeout is %s to %s", store.LeastElection, store.MostElection), more)
	case c.quota < 16 || c.quota > 64<<10:
		return problem("RW6001", "--quota is 16 to 65536 MiB", more)
	}
	if c.initial != "" && c.peerURL == "" {
		if c.peerURL = urlOf(c.initial, name); c.peerURL == "" {
			return problem("RW6001", "--initial-cluster does not name "+name, "name this controller with --controller as it is called there")
		}
	}
	return nil
}

// readToken is for the first start alone: later ones have the flag, and maybe nobody who types the token.
func (c *clustering) readToken(in io.Reader, name string) (token.Token, error) {
	text := c.tokenText
	if text == "" {
		return token.Token{}, problem("RW6001", "--join needs --token at the first start", "an administrator makes one: ropeway token create --controller "+name)
	}
	if text == "-" {
		if _, err := fmt.Fscan(in, &text); err != nil {
			return token.Token{}, problem("RW6001", "standard input holds no token", "give the token alone, as it was printed")
		}
	}
	t, err := token.Parse(text)
	if err != nil {
		return t, problem("RW7005", err.Error(), "copy it whole")
	}
	return t, nil
}

// urlOf returns the URL of a name in NAME=URL,NAME=URL.
func urlOf(cluster, name string) string {
	for one := range strings.SplitSeq(cluster, ",") {
		if url, ok := strings.CutPrefix(one, name+"="); ok {
			return url
		}
	}
	return ""
}

// external are the options of a store in somebody else's etcd.
func (c *clustering) external() (store.Options, error) {
	o := store.Options{Endpoints: c.endpoints}
	if c.etcdCA == "" && c.etcdCert == "" && c.etcdKey == "" {
		return o, nil // on this machine, which the store sees to
	}
	o.TLS = &tls.Config{MinVersion: tls.VersionTLS12} // it is not ours to say what it speaks
	if c.etcdCA != "" {
		text, err := files.Read(c.etcdCA, maxPEM)
		if err != nil {
			return o, problem("RW6001", "--etcd-ca: "+err.Error(), "name a file in PEM")
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(text) {
			return o, problem("RW6001", "--etcd-ca: the file holds no certificate", "name a file in PEM")
		}
	}
	if c.etcdCert != "" || c.etcdKey != "" {
		if _, err := tls.LoadX509KeyPair(c.etcdCert, c.etcdKey); err != nil {
			return o, problem("RW6001", "--etcd-cert and --etcd-key are no certificate and its key", "name two files in PEM")
		}
		o.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // renewed meanwhile
			pair, err := tls.LoadX509KeyPair(c.etcdCert, c.etcdKey)
			return &pair, err
		}
	}
	return o, nil
}

const maxPEM = 1 << 20

// embedded are the options of a store in this process.
func (c *clustering) embedded(s *serving, peer *authority.Peer) store.Options {
	o := store.Options{Dir: s.path(storeDir), Name: s.controller, Quota: c.quota << 20, Election: c.election}
	if c.peerURL == "" {
		return o
	}
	o.PeerURL, o.PeerListen, o.InitialCluster = c.peerURL, c.peerListen, c.initial
	o.PeerTLS = store.PeerTLS{Cert: peer.CertFile(), Key: peer.KeyFile(), CA: s.path(authorityDir + "/ca.crt"), Peer: authority.PeerName}
	return o
}
