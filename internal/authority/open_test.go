package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ropeway/internal/diag"
)

// noon is when the tests play.
var noon = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := Open(dir, "acme", noon)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func fresh(t *testing.T) (*Authority, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "authority")
	return open(t, dir), dir
}

func TestAnAuthorityIsMadeOnceAndKept(t *testing.T) {
	first, dir := fresh(t)
	again := open(t, dir)
	if first.Pin() != again.Pin() || !first.PublicKey().Equal(again.PublicKey()) || !first.Certificate().Equal(again.Certificate()) {
		t.Error("the second start made another authority")
	}
	for path, want := range map[string]os.FileMode{"": os.ModeDir | 0o700, "ca.key": 0o600, "ca.crt": 0o600, "sign.key": 0o600} {
		if info, err := os.Lstat(filepath.Join(dir, path)); err != nil || info.Mode() != want {
			t.Errorf("%q: %v, %v", path, info, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("the directory holds %v, %v", left, err)
	}
	c := first.Certificate()
	if !c.IsCA || !c.MaxPathLenZero || c.KeyUsage != x509.KeyUsageCertSign || !c.NotAfter.Equal(noon.Add(lifeCA)) || !isP256(c.PublicKey) {
		t.Errorf("the certificate is %+v", c)
	}
	message := []byte("a plan")
	signature, err := first.Signer().Sign(nil, message, new(ed25519.Options))
	if err != nil || !ed25519.Verify(again.PublicKey(), message, signature) {
		t.Errorf("what one start signs, the next one does not know: %v", err)
	}
	if other, _ := fresh(t); other.Pin() == first.Pin() || other.PublicKey().Equal(first.PublicKey()) {
		t.Error("two installations share a key")
	}
}

func TestManyAtOnceGetOneAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "authority")
	all := make([]*Authority, 16)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			a, err := Open(dir, "acme", noon)
			if err != nil {
				t.Error(err)
				return
			}
			all[i] = a
		})
	}
	wg.Wait()
	for _, a := range all {
		if a == nil || a.Pin() != all[0].Pin() || !a.PublicKey().Equal(all[0].PublicKey()) || !a.Certificate().Equal(all[0].Certificate()) {
			t.Fatal("two starts at once have two authorities")
		}
	}
}

// A start can be cut short after each file.
func TestAStartThatWasCutShort(t *testing.T) {
	for _, missing := range [][]string{{caFile}, {caFile, caKeyFile}, {caFile, caKeyFile, signKeyFile}} {
		before, dir := fresh(t)
		for _, name := range missing {
			must(t, os.Remove(filepath.Join(dir, name)))
		}
		must(t, os.WriteFile(filepath.Join(dir, "."+caFile+".new"), []byte("half"), 0o600))
		after := open(t, dir)
		if keptCA := len(missing) < 2; keptCA != (after.Pin() == before.Pin()) {
			t.Errorf("without %v the authority's key is kept: %t", missing, !keptCA)
		}
		if keptSign := len(missing) < 3; keptSign != after.PublicKey().Equal(before.PublicKey()) {
			t.Errorf("without %v the signing key is kept: %t", missing, !keptSign)
		}
	}
}

// TestRefusals: every way in which an authority can be spoilt, and what it says.
func TestRefusals(t *testing.T) {
	in := func(file string, f func(path string) error) func(string) error {
		return func(dir string) error { return f(filepath.Join(dir, file)) }
	}
	mode := func(m os.FileMode) func(string) error { return func(path string) error { return os.Chmod(path, m) } }
	text := func(s string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(s), 0o600) }
	}
	swap := func(path string) error {
		return errors.Join(os.Rename(path, path+".moved"), os.Symlink(path+".moved", path))
	}
	give := func(path string) error { return os.Chown(path, 65534, 65534) }
	const canary = "canarycanarycanary"
	for name, c := range map[string]struct {
		damage func(dir string) error
		code   diag.Code
		says   string
	}{
		"key that others may read":       {in(caKeyFile, mode(0o640)), codeExposed, "mode 0640"},
		"plan key that others may read":  {in(signKeyFile, mode(0o604)), codeExposed, "mode 0604"},
		"certificate that others change": {in(caFile, mode(0o620)), codeExposed, "mode 0620"},
		"directory that others enter":    {in("", mode(0o711)), codeExposed, "mode 0711"},
		"key of somebody else":           {in(caKeyFile, give), codeExposed, "user 65534"},
		"directory of somebody else":     {in("", give), codeExposed, "user 65534"},
		"link in place of the key":       {in(caKeyFile, swap), codeExposed, "symbolic link"},
		"link in place of the directory": {in("", swap), codeExposed, "symbolic link"},
		"no CA key":                      {in(caKeyFile, os.Remove), codeDamaged, "missing"},
		"no plan key":                    {in(signKeyFile, os.Remove), codeDamaged, "missing"},
		"empty CA key":                   {in(caKeyFile, text("")), codeDamaged, "PEM"},
		"text for a key":                 {in(caKeyFile, text(canary)), codeDamaged, "PEM"},
		"a large key":                    {in(caKeyFile, text(strings.Repeat(canary, 1000))), codeDamaged, "PEM"},
		"damaged key":                    {in(signKeyFile, text("-----BEGIN PRIVATE KEY-----\n"+canary+"ab\n-----END PRIVATE KEY-----\n")), codeDamaged, "PKCS #8"},
		"damaged certificate":            {in(caFile, text("-----BEGIN CERTIFICATE-----\n"+canary+"ab\n-----END CERTIFICATE-----\n")), codeDamaged, "certificate"},
		"another's CA key":               {another(t, caKeyFile), codeDamaged, "not the key of ca.crt"},
		"another's certificate":          {another(t, caFile), codeDamaged, "not the key of ca.crt"},
		"plan key for the CA":            {exchange(signKeyFile, caKeyFile), codeDamaged, "not the key of ca.crt"},
		"CA key for plans":               {exchange(caKeyFile, signKeyFile), codeDamaged, "Ed25519"},
		"a leaf for the CA":              {leafForCA, codeDamaged, "signed itself"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "somebody else") && os.Geteuid() != 0 {
				t.Skip("needs root to give a file away")
			}
			_, dir := fresh(t)
			must(t, c.damage(dir))
			_, err := Open(dir, "acme", noon)
			var p diag.Problem
			if !errors.As(err, &p) || p.Code != c.code || !strings.Contains(p.Message, c.says) || p.Hint == "" {
				t.Fatalf("got %v, want %s with %q and a hint", err, c.code, c.says)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error repeats the file: %v", err)
			}
		})
	}
}

// another returns a damage that puts another installation's file in place.
func another(t *testing.T, file string) func(string) error {
	_, other := fresh(t)
	return func(dir string) error { return os.Rename(filepath.Join(other, file), filepath.Join(dir, file)) }
}

func exchange(from, to string) func(string) error {
	return func(dir string) error {
		data, err := os.ReadFile(filepath.Join(dir, from))
		return errors.Join(err, os.WriteFile(filepath.Join(dir, to), data, 0o600))
	}
}

// leafForCA puts a certificate that is no authority's, of the right key and name, in place.
func leafForCA(dir string) error {
	a, err := Open(dir, "acme", noon)
	if err != nil {
		return err
	}
	c := *a.Certificate()
	c.IsCA, c.MaxPathLenZero, c.KeyUsage = false, false, x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, a.issuer.Public(), a.issuer)
	text := pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der})
	return errors.Join(err, os.WriteFile(filepath.Join(dir, caFile), text, 0o600))
}

func TestWhoseAndWhen(t *testing.T) {
	_, dir := fresh(t)
	for _, c := range []struct {
		name string
		now  time.Time
		code diag.Code
	}{
		{"other", noon, codeForeign}, {"acme", noon.Add(-48 * time.Hour), codeInvalidNow}, {"acme", noon.Add(lifeCA + time.Hour), codeInvalidNow},
		{"acme", noon.Add(-23 * time.Hour), ""}, {"acme", noon.Add(lifeCA - time.Hour), ""},
	} {
		_, err := Open(dir, c.name, c.now)
		var p diag.Problem
		if (err == nil) != (c.code == "") || err != nil && (!errors.As(err, &p) || p.Code != c.code) {
			t.Errorf("opened as %s at %v: %v, want %s", c.name, c.now, err, c.code)
		}
	}
	for _, name := range []string{"", "a/b", "Acme", "a\nb"} {
		if _, err := Open(filepath.Join(dir, "x"), name, noon); err == nil {
			t.Errorf("opened as %q", name)
		}
	}
}

// An operator's own key is used where there is no certificate yet, and only of the right kind.
func TestAKeyThatWasThereBefore(t *testing.T) {
	for curve, fits := range map[elliptic.Curve]bool{elliptic.P256(): true, elliptic.P384(): false} {
		dir := t.TempDir()
		must(t, os.Chmod(dir, 0o700))
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		must(t, err)
		der, err := x509.MarshalPKCS8PrivateKey(k)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, caKeyFile), pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), 0o600))
		a, err := Open(dir, "acme", noon)
		if fits != (err == nil) || fits && !k.PublicKey.Equal(a.Certificate().PublicKey) {
			t.Errorf("%s: %v", curve.Params().Name, err)
		}
	}
}

// TestSecretsNeverShow prints, marshals and logs what holds private keys in every way that there is.
func TestSecretsNeverShow(t *testing.T) {
	a, dir := fresh(t)
	server, err := a.IssueServer("one", Hosts{Names: []string{"localhost"}}, noon, time.Hour)
	must(t, err)
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, nil))
	for _, thing := range []any{a, *a, a.Signer(), server, *server, []any{a}, map[string]any{"a": a.issuer}, struct{ hidden *Authority }{a}, struct{ hidden sealed }{a.issuer}} {
		for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %c") {
			fmt.Fprintf(&out, verb+"\n", thing)
		}
		logger.Info("thing", "key", thing)
		encoded, _ := json.Marshal(thing)
		out.Write(encoded)
	}
	for _, name := range []string{caKeyFile, signKeyFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		block, _ := pem.Decode(data)
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		must(t, err)
		raw := []byte{}
		switch k := parsed.(type) {
		case *ecdsa.PrivateKey:
			raw, err = k.Bytes()
			must(t, err)
		case ed25519.PrivateKey:
			raw = k.Seed()
		}
		for _, form := range []string{
			string(raw[:8]), hex.EncodeToString(raw[:8]), strings.ToUpper(hex.EncodeToString(raw[:8])), strings.Trim(fmt.Sprint(raw[:8]), "[]"),
			base64.StdEncoding.EncodeToString(raw)[:10], base64.StdEncoding.EncodeToString(block.Bytes)[50:60],
		} {
			if strings.Contains(out.String(), form) {
				t.Errorf("%s shows as %q", name, form[:4])
			}
		}
		if k, ok := parsed.(*ecdsa.PrivateKey); ok && strings.Contains(out.String(), k.D.String()) { //nolint:staticcheck // how fmt prints it
			t.Errorf("%s shows as a number", name)
		}
	}
	if n := strings.Count(out.String(), "(secret key)"); n < 10 {
		t.Errorf("the placeholder shows %d times: this proves little", n)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
