package key_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/crypto/curve25519"

	"ropeway/internal/key"
)

// Alice's key pair of RFC 7748, section 6.1.
const (
	alicePrivate = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
	alicePublic  = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
)

func fromHex(t *testing.T, s string) string {
	t.Helper()
	raw, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func TestPublicHalf(t *testing.T) {
	for range 100 {
		private, err := key.NewPrivate()
		if err != nil {
			t.Fatal(err)
		}
		secret := private.Reveal()
		want, err := curve25519.X25519(secret[:], curve25519.Basepoint)
		if err != nil {
			t.Fatal(err)
		}
		if got := private.Public().Bytes(); !bytes.Equal(got[:], want) {
			t.Fatalf("public half %x, want %x", got, want)
		}
		if secret[0]&7 != 0 || secret[31]&0xc0 != 0x40 {
			t.Fatal("the key is not clamped as X25519 wants it")
		}
	}
	a, errA := key.NewPrivate()
	b, errB := key.NewPrivate()
	if errA != nil || errB != nil || a.Equal(b) || a.IsZero() {
		t.Error("two keys are equal, or one is zero")
	}
}

func TestKnownPair(t *testing.T) {
	private, err := key.ParsePrivate(fromHex(t, alicePrivate))
	if err != nil {
		t.Fatal(err)
	}
	if got := private.Public().String(); got != fromHex(t, alicePublic) {
		t.Errorf("got %s", got)
	}
}

func TestParseRefuses(t *testing.T) {
	good := strings.Repeat("A", 43) + "="
	for _, s := range []string{
		"", "A", good[:43], good + "=", " " + good, good + "\n", strings.Repeat("A", 44), strings.Repeat("-", 43) + "=", strings.Repeat("A", 42) + "B=", "é" + good[2:],
	} {
		_, public := key.ParsePublic(s)
		_, private := key.ParsePrivate(s)
		_, preshared := key.ParsePreshared(s)
		for _, err := range []error{public, private, preshared} {
			if !errors.Is(err, key.ErrFormat) || len(s) > 3 && strings.Contains(err.Error(), s) {
				t.Errorf("%q: %v", s, err)
			}
		}
	}
}

func TestPublicText(t *testing.T) {
	private, err := key.NewPrivate()
	if err != nil {
		t.Fatal(err)
	}
	public := private.Public()
	text, err := json.Marshal(public)
	if err != nil {
		t.Fatal(err)
	}
	var again key.Public
	if err := json.Unmarshal(text, &again); err != nil || again != public {
		t.Errorf("%s → %v, %v", text, again, err)
	}
	var zero key.Public
	if err := json.Unmarshal([]byte(`""`), &again); err != nil || again != zero || !again.IsZero() || again.String() != "" {
		t.Errorf("the empty text is the key that is not known: %v, %v", again, err)
	}
	if err := json.Unmarshal([]byte(`"x"`), &again); !errors.Is(err, key.ErrFormat) {
		t.Errorf("got %v", err)
	}
}

// TestSecretsNeverShow prints, marshals and logs both kinds of secret in every way that there is, bare and inside other things,
// and looks for the bytes in any of their usual forms.
func TestSecretsNeverShow(t *testing.T) {
	private, err := key.NewPrivate()
	if err != nil {
		t.Fatal(err)
	}
	preshared, err := key.ParsePreshared(fromHex(t, strings.Repeat("c0ffee11", 8)))
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Name    string
		Private key.Private
		Shared  *key.Preshared
		hidden  key.Private
	}
	h := holder{"gw", private, &preshared, private}
	things := map[string]any{
		"private": private, "pointer": &private, "preshared": preshared, "struct": h, "struct pointer": &h,
		"slice": []key.Private{private}, "map": map[string]key.Preshared{"a": preshared}, "any": []any{private, h},
	}
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, nil))
	text := slog.New(slog.NewTextHandler(&out, nil))
	plain := log.New(&out, "", 0)
	for name, thing := range things {
		for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %b %o %c %U %e %g %t %p %T % x %#x %08b %w") {
			fmt.Fprintf(&out, verb+"\n", thing)
		}
		fmt.Fprintln(&out, thing, fmt.Sprint(thing), fmt.Errorf("wrapped: %v", thing))
		logger.Info(name, "key", thing, slog.Any("again", thing))
		text.Info(name, "key", thing)
		plain.Println(thing)
		if encoded, err := json.Marshal(thing); err == nil {
			t.Errorf("%s: json gave %s", name, encoded)
		}
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(thing); err == nil {
			out.Write(b.Bytes())
		}
	}
	func() { // a panic prints its value
		defer func() { fmt.Fprintln(&out, recover()) }()
		panic(private)
	}()
	for name, secret := range map[string][32]byte{"private": private.Reveal(), "preshared": preshared.Reveal()} {
		for _, form := range forms(secret) {
			if bytes.Contains(out.Bytes(), form) {
				t.Errorf("the %s key shows as %q", name, form[:4])
			}
		}
	}
	if n := bytes.Count(out.Bytes(), []byte("(secret key)")); n < 100 {
		t.Errorf("the placeholder shows %d times: this proves little", n)
	}
}

// forms returns pieces of the ways in which somebody prints 32 bytes: eight bytes of it are enough to know it again.
func forms(b [32]byte) [][]byte {
	var decimal, goSyntax []string
	for _, x := range b[:8] {
		decimal = append(decimal, fmt.Sprint(x))
		goSyntax = append(goSyntax, fmt.Sprintf("0x%x", x))
	}
	piece := hex.EncodeToString(b[:8])
	return [][]byte{
		b[:8], []byte(piece), []byte(strings.ToUpper(piece)),
		[]byte(base64.StdEncoding.EncodeToString(b[:])[:10]), []byte(base64.URLEncoding.EncodeToString(b[:])[:10]),
		[]byte(strings.Join(decimal, " ")), []byte(strings.Join(decimal, ",")), []byte(strings.Join(goSyntax, ", ")),
		[]byte(fmt.Sprintf("% x", b[:8])), []byte(fmt.Sprintf("% X", b[:8])), []byte(fmt.Sprintf("%q", b[:8])),
	}
}

func FuzzParsePublic(f *testing.F) {
	f.Add(strings.Repeat("A", 43) + "=")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := key.ParsePublic(s)
		if err == nil && !k.IsZero() && k.String() != s {
			t.Errorf("%q → %q: two spellings of one key", s, k)
		}
	})
}
