package token_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"

	"ropeway/internal/token"
)

func made(t *testing.T) token.Token {
	t.Helper()
	made, err := token.New(rand.Reader, sha256.Sum256([]byte("an authority")))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestTextAndBack(t *testing.T) {
	first, second := made(t), made(t)
	text := first.Reveal()
	if len(text) != 92 || !strings.HasPrefix(text, "rwt1.") {
		t.Errorf("a token has %d characters and begins with %.5s", len(text), text)
	}
	again, err := token.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if again.Reveal() != text || again.Hash() != first.Hash() || again.ID() != first.ID() || again.Pin() != first.Pin() {
		t.Error("a token does not survive its text")
	}
	if second.Reveal() == text || second.Hash() == first.Hash() {
		t.Error("two tokens are the same")
	}
	if second.Pin() != first.Pin() {
		t.Error("the pin is not the one that was given")
	}
}

// A known token, so that what is stored today is recognized by every later version.
func TestKnownToken(t *testing.T) {
	secret := strings.Repeat("s", token.Size)
	known, err := token.New(strings.NewReader(secret), [token.Size]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	const text = "rwt1.c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M.AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	if known.Reveal() != text {
		t.Errorf("the text is %s", known.Reveal())
	}
	if want := sha256.Sum256([]byte("ropeway token v1\x00" + secret)); known.Hash() != want || known.ID() != hex.EncodeToString(want[:])[:8] {
		t.Errorf("the hash is %x and the ID %s, want %x", known.Hash(), known.ID(), want)
	}
}

func TestTheZeroTokenIsNone(t *testing.T) {
	var zero token.Token
	if !zero.IsZero() || zero.Reveal() != "" || zero.Hash() != [32]byte{} || made(t).IsZero() {
		t.Error("the zero token passes for one")
	}
}

func TestParseRefuses(t *testing.T) {
	good := made(t).Reveal()
	zero := base64.RawURLEncoding.EncodeToString(make([]byte, token.Size))
	for name, text := range map[string]string{
		"nothing": "", "a word": "token", "no pin": good[:48], "a dot and no pin": good[:49], "a short pin": good[:91], "a fourth part": good + ".x",
		"padding": good + "=", "a space": " " + good, "a line break": good + "\n", "a line break inside": good[:20] + "\n" + good[21:],
		"another version": "rwt2" + good[4:], "capitals": "RWT1" + good[4:], "the other base64": good[:10] + "+" + good[11:],
		"bits past the end": good[:91] + "B", "a zero secret": "rwt1." + zero + good[48:], "NUL": good[:91] + "\x00", "no version": good[5:],
	} {
		_, err := token.Parse(text)
		if !errors.Is(err, token.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		} else if len(text) > 20 && strings.Contains(err.Error(), text[5:15]) {
			t.Errorf("%s: the error repeats the text", name)
		}
	}
}

func TestNewWantsRandomBytes(t *testing.T) {
	broken := errors.New("broken")
	if _, err := token.New(iotest.ErrReader(broken), [32]byte{}); !errors.Is(err, broken) {
		t.Errorf("a broken source: %v", err)
	}
	if _, err := token.New(strings.NewReader("short"), [32]byte{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a short source: %v", err)
	}
	if _, err := token.New(bytes.NewReader(make([]byte, 64)), [32]byte{}); err == nil {
		t.Error("a source of zeros made a token")
	}
}

// TestTokensNeverShow prints, marshals and logs a token in every way that there is, bare and inside other things.
func TestTokensNeverShow(t *testing.T) {
	secret := made(t)
	type holder struct {
		Name   string
		Token  token.Token
		Other  *token.Token
		hidden token.Token
	}
	h := holder{"gw", secret, &secret, secret}
	things := map[string]any{
		"token": secret, "pointer": &secret, "struct": h, "struct pointer": &h, "slice": []token.Token{secret},
		"map": map[string]token.Token{"a": secret}, "any": []any{secret, h},
	}
	var out bytes.Buffer
	logger, text, plain := slog.New(slog.NewJSONHandler(&out, nil)), slog.New(slog.NewTextHandler(&out, nil)), log.New(&out, "", 0)
	for name, thing := range things {
		for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %b %o %c %U %e %g %t %p %T % x %#x %08b %w") {
			fmt.Fprintf(&out, verb+"\n", thing)
		}
		fmt.Fprintln(&out, thing, fmt.Sprint(thing), fmt.Errorf("wrapped: %v", thing))
		logger.Info(name, "token", thing, slog.Any("again", thing))
		text.Info(name, "token", thing)
		plain.Println(thing)
		if encoded, err := json.Marshal(thing); err == nil {
			t.Errorf("%s: json gave %s", name, encoded)
		}
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(thing); err == nil {
			out.Write(b.Bytes())
		}
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(secret.Reveal(), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{
		string(raw[:8]), hex.EncodeToString(raw[:8]), strings.ToUpper(hex.EncodeToString(raw[:8])), secret.Reveal()[:15],
		strings.Trim(fmt.Sprint(raw[:8]), "[]"), fmt.Sprintf("% x", raw[:8]), base64.StdEncoding.EncodeToString(raw)[:10],
	} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the token shows as %q", form[:4])
		}
	}
	if n := strings.Count(out.String(), "(secret token)"); n < 100 {
		t.Errorf("the placeholder shows %d times: this proves little", n)
	}
}

// FuzzParse: what is taken is the one spelling of a token, and what is refused is not repeated.
func FuzzParse(f *testing.F) {
	f.Add("rwt1.c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M.AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("rwt1..")
	f.Add("rwt1.c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3\n.AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := token.Parse(s)
		switch {
		case err != nil && (!errors.Is(err, token.ErrFormat) || err.Error() != token.ErrFormat.Error() || !parsed.IsZero()):
			t.Errorf("%q: %v", s, err)
		case err == nil && parsed.Reveal() != s:
			t.Errorf("%q: two spellings of one token", s)
		}
	})
}
