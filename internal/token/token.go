// Package token holds enrollment tokens: what a person hands to a machine so that it may become somebody, once.
//
// A token is a secret, which the controller recognizes by its hash, and a pin, by which its holder recognizes the controller: the hash of
// the public key of the controller's own certificate authority. So a holder that has never met the controller shows the secret to
// nobody else. The controller keeps the hash, and people speak of a token by its ID, the beginning of that hash.
//
// The text is "rwt1.SECRET.PIN", both of 32 bytes in base64url without padding. It is in the answer that made the token and nowhere else: a
// Token does not print, format or marshal, and no error repeats what was parsed.
package token

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Size is the length of a secret and of a pin in bytes: more than the 128 bits that nobody guesses.
const Size = 32

const (
	version = "rwt1"
	domain  = "ropeway token v1\x00" // so that the hash is no hash of the secret for any other purpose
	idSize  = 4                      // bytes of the hash that make an ID
)

// ErrFormat is returned for text that is not a token. The text is never part of the error.
var ErrFormat = errors.New(`not an enrollment token: want "rwt1.", 43 characters, a dot and 43 characters, as it was printed when it was made`)

var errWeak = errors.New("the source of random bytes gives zeros")

// A Token is for one enrollment. The zero value is no token. It holds its secret behind a function, because methods alone do not hide it:
// fmt and others print an unexported field of somebody else's struct without asking its methods.
type Token struct {
	reveal func() [Size]byte
	pin    [Size]byte
}

// New makes a token from 32 bytes of a cryptographic source of random bytes.
func New(rand io.Reader, pin [Size]byte) (Token, error) {
	var secret [Size]byte
	if _, err := io.ReadFull(rand, secret[:]); err != nil {
		return Token{}, fmt.Errorf("make a token: %w", err)
	}
	if secret == [Size]byte{} {
		return Token{}, fmt.Errorf("make a token: %w", errWeak)
	}
	return keep(secret, pin), nil
}

// Parse reads what Reveal returned, or returns ErrFormat. A token has one spelling.
func Parse(s string) (Token, error) {
	parts := strings.SplitN(s, ".", 4)
	if len(parts) != 3 || parts[0] != version {
		return Token{}, ErrFormat
	}
	secret, ok := decode(parts[1])
	pin, pinned := decode(parts[2])
	if !ok || !pinned || secret == [Size]byte{} {
		return Token{}, ErrFormat
	}
	return keep(secret, pin), nil
}

func keep(secret, pin [Size]byte) Token {
	return Token{reveal: func() [Size]byte { return secret }, pin: pin}
}

func decode(s string) (b [Size]byte, ok bool) {
	if len(s) != base64.RawURLEncoding.EncodedLen(Size) { // the decoder passes over line breaks
		return b, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != Size {
		return b, false
	}
	return [Size]byte(raw), true
}

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.reveal == nil }

// Reveal returns the text, for the person who hands it on and the message that redeems it, and nothing else. It is "" for the zero token.
func (t Token) Reveal() string {
	if t.IsZero() {
		return ""
	}
	secret := t.reveal()
	return version + "." + base64.RawURLEncoding.EncodeToString(secret[:]) + "." + base64.RawURLEncoding.EncodeToString(t.pin[:])
}

// Hash returns what the controller keeps in place of the secret. The secret is random and long, so a plain hash cannot be undone. The pin
// is no part of it: it says nothing about who may enroll. The hash of the zero token is zero, which is the hash of nothing.
func (t Token) Hash() [sha256.Size]byte {
	if t.IsZero() {
		return [sha256.Size]byte{}
	}
	secret := t.reveal()
	return sha256.Sum256(append([]byte(domain), secret[:]...))
}

// ID returns what a token is called where it must not show: the first eight hex digits of its hash. It is public, and no proof of anything.
func (t Token) ID() string {
	hash := t.Hash()
	return hex.EncodeToString(hash[:idSize])
}

// Pin returns the SHA-256 of the SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7), in DER, of the controller's authority. It is public.
func (t Token) Pin() [Size]byte { return t.pin }

const redacted = "(secret token)"

// String returns a placeholder.
func (Token) String() string { return redacted }

// Format prints a placeholder for every verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

var errSecret = errors.New("a token does not marshal")

// MarshalText always fails.
func (Token) MarshalText() ([]byte, error) { return nil, errSecret }

// MarshalJSON always fails.
func (Token) MarshalJSON() ([]byte, error) { return nil, errSecret }
