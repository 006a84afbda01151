package adopt_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"ropeway/internal/adopt"
	"ropeway/internal/compile"
	"ropeway/internal/diag"
	"ropeway/internal/intent"
	"ropeway/internal/key"
	"ropeway/internal/stories"
)

var update = flag.Bool("update", false, "write what the stories expect")

// private returns a key that follows from a name.
func private(name string) string {
	sum := sha256.Sum256([]byte("a key of " + name))
	sum[0] &= 248
	sum[31] = sum[31]&127 | 64
	return base64.StdEncoding.EncodeToString(sum[:])
}

func public(t testing.TB, name string) string {
	t.Helper()
	k, err := key.ParsePrivate(private(name))
	if err != nil {
		t.Fatal(err)
	}
	return k.Public().String()
}

var keyword = regexp.MustCompile(`\{(private|public) ([a-z0-9-]+)\}`)

// filled puts keys where a story says {private hub} or {public hub}.
func filled(t testing.TB, text []byte) []byte {
	return keyword.ReplaceAllFunc(text, func(m []byte) []byte {
		parts := keyword.FindSubmatch(m)
		if string(parts[1]) == "private" {
			return []byte(private(string(parts[2])))
		}
		return []byte(public(t, string(parts[2])))
	})
}

// Every story has configurations, the fabric file that they make, and what is said of it. The file is always valid.
func TestStories(t *testing.T) {
	stories.Each(t, "testdata/*.txtar", *update, func(t *testing.T, s *stories.Story) {
		var configs []adopt.Config
		secrets := []string{private("shared")}
		for _, file := range s.Files {
			name, kind, _ := strings.Cut(file.Name, ".")
			if kind != "conf" && kind != "dump" {
				continue
			}
			secrets = append(secrets, private(name))
			list, err := adopt.Parse(name, file.Name, filled(t, file.Data))
			if err != nil {
				s.Want(t, "refused", err.Error()+"\n")
				return
			}
			configs = append(configs, list...)
		}
		text, problems := adopt.Make("acme", configs)
		s.Want(t, "fabric.yaml", strings.ReplaceAll(string(text), "\t", " "))
		said := ""
		for _, p := range problems {
			said += p.Error() + "\n"
		}
		s.Want(t, "said", said)
		for _, secret := range secrets {
			if strings.Contains(string(text)+said, secret[:20]) {
				t.Error("a private key is in the output")
			}
		}
		if text != nil {
			plans(t, text)
		}
	})
}

// plans wants a file to be valid, and to compile.
func plans(t testing.TB, text []byte) {
	t.Helper()
	in, problems := intent.Read("fabric.yaml", text)
	if in == nil {
		t.Fatalf("the file is not valid: %s\n%s", problems, text)
	}
	if p, _ := compile.Compile(in, nil); len(p.Gateways) == 0 {
		t.Error("it has no gateway")
	}
}

// Whatever is wrong with a line, nothing of it is repeated.
func TestSecretsAreNotRepeated(t *testing.T) {
	secret := private("canary")
	for _, text := range []string{
		secret, "[Interface]\n" + secret, "[Interface]\nPrivateKey " + secret, "[Interface]\nPrivateKey = x" + secret, "[Interface]\nPrivateKey = " + secret[:43],
		"[Interface]\nPrivateKeey = " + secret, "[Interface]\nAddress = " + secret, "[Interface]\nMTU = " + secret, "[Interface]\nListenPort = " + secret,
		"[Interface]\n[Peer]\nPublicKey = x" + secret, "[Interface]\n[Peer]\nEndpoint = " + secret, "[Interface]\n[Peer]\nAllowedIPs = " + secret,
		"[Interface]\n[Peer]\nPersistentKeepalive = " + secret, "[" + secret + "]", "[Peer]\n" + secret, "[Interface]\n[Peer]\nPresharedKey = " + secret + "\nx",
		"wg0\t" + secret + "\tx\tx\toff", secret + "\t" + secret, "wg0\t" + secret[:40] + "\t(none)\t1\toff", "wg0\t(none)\t" + secret + "x\t1\toff",
		"wg0\t(none)\t(none)\t1\toff\nwg0\tx\t" + secret + "\t\t\t0\t0\t0\toff",
	} {
		_, err := adopt.Parse("canary", "canary.conf", []byte(text))
		if err == nil {
			t.Errorf("%.30q was taken", strings.ReplaceAll(text, secret, "…"))
			continue
		}
		var p diag.Problem
		if !errors.As(err, &p) || p.Code != "RW6014" || strings.Contains(err.Error(), secret[:10]) {
			t.Errorf("%v: another code, or it repeats a secret", p.Code)
		}
	}
}

// What any machines tell of each other makes a valid file, or none.
func TestWhateverIsTold(t *testing.T) {
	made := 0
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 7))
		text, _ := adopt.Make("acme", someConfigs(t, r))
		if text != nil {
			plans(t, text)
			made++
		}
	}
	if made < 50 {
		t.Errorf("only %d of 150 made a file", made)
	}
}

// someConfigs draws machines that peer at random, and say of each other what contradicts itself often enough.
func someConfigs(t testing.TB, r *rand.Rand) []adopt.Config {
	prefixes := []string{"10.1.0.0/16", "10.1.2.0/24", "10.2.0.0/16", "10.0.0.0/8", "192.168.1.0/24", "0.0.0.0/0", "::/0", "fd00:1::/48", "fc00::/7", "100.64.3.0/24",
		"169.254.0.0/16", "10.8.0.0/24", "10.8.0.1/32", "10.8.0.2/32", "10.8.0.3/32", "224.0.0.0/4", "2001:db8::/32"}
	n := 1 + r.IntN(6)
	var configs []adopt.Config
	for i := range n {
		if r.IntN(4) == 0 {
			continue // others speak of it, perhaps
		}
		var b strings.Builder
		fmt.Fprintf(&b, "[Interface]\n")
		if r.IntN(6) > 0 {
			fmt.Fprintf(&b, "PrivateKey = %s\n", private(fmt.Sprint("m", i)))
		}
		if r.IntN(3) > 0 {
			fmt.Fprintf(&b, "Address = 10.8.0.%d/%d\n", i+1, 24+8*r.IntN(2))
		}
		if r.IntN(2) == 0 {
			fmt.Fprintf(&b, "ListenPort = %d\n", 51820+r.IntN(2))
		}
		if r.IntN(4) == 0 {
			fmt.Fprintf(&b, "MTU = %d\n", 1000+r.IntN(8000))
		}
		for j := range n {
			if r.IntN(3) == 0 {
				continue
			}
			fmt.Fprintf(&b, "[Peer]\nPublicKey = %s\n", public(t, fmt.Sprint("m", j)))
			if r.IntN(2) == 0 {
				host := []string{fmt.Sprintf("203.0.113.%d", r.IntN(n+1)+1), fmt.Sprintf("[2001:db8::%d]", j+1), "GW.example.net.", "127.0.0.1", "10.1.2.3", "100.64.3.4"}[r.IntN(6)]
				fmt.Fprintf(&b, "Endpoint = %s:%d\n", host, 51820+r.IntN(2))
			}
			for range r.IntN(4) {
				fmt.Fprintf(&b, "AllowedIPs = %s\n", prefixes[r.IntN(len(prefixes))])
			}
			if r.IntN(2) == 0 {
				fmt.Fprintf(&b, "PersistentKeepalive = 25\n")
			}
		}
		name := []string{"hub", "12", "null", "1e5", "on", "a", "office-2"}[i]
		list, err := adopt.Parse(name, name, []byte(b.String()))
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		configs = append(configs, list...)
	}
	return configs
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("[Interface]\nPrivateKey = " + private("a") + "\nAddress = 10.8.0.1/24\nListenPort = 51820\n\n# hq\n[Peer]\nPublicKey = " + public(f, "b") + "\nAllowedIPs = 10.8.0.2/32, 10.1.0.0/16, ::/0\nEndpoint = [2001:db8::1]:51820\nPersistentKeepalive = 25\n"))
	f.Add([]byte("wg0\t" + private("a") + "\t" + public(f, "a") + "\t51820\toff\nwg0\t" + public(f, "b") + "\t(none)\t192.0.2.1:51820\t10.8.0.2/32\t0\t0\t0\toff\n"))
	f.Add([]byte("[Interface]\r\n[Peer]\r\nEndpoint = a.b:1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := adopt.Parse("a", "a.conf", data)
		if err != nil {
			if s := err.Error(); len(s) > 400 || strings.ContainsAny(s, "\n\x00\x1b") {
				t.Errorf("%q", s)
			}
			return
		}
		text, _ := adopt.Make("acme", list)
		if text == nil {
			return
		}
		if bytes.ContainsAny(text, "\x00\x1b\r\t") {
			t.Errorf("%q", text)
		}
		plans(t, text)
	})
}
