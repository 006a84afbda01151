// Package key holds WireGuard's keys as distinct types, so that a private one cannot be used, printed, marshalled or logged
// where a public one belongs. All three are 32 bytes (WireGuard whitepaper, section 5.4); text is standard base64.
package key

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// Size is the length of every WireGuard key in bytes.
const Size = 32

// ErrFormat is returned for text that is not a key. The text is never part of the error.
var ErrFormat = errors.New("not a WireGuard key: want 32 bytes in base64 (44 characters)")

// A Public key names a peer. The zero value means a key that is not known yet.
type Public struct{ b [Size]byte }

// ParsePublic reads a key from base64, or returns ErrFormat.
func ParsePublic(s string) (Public, error) {
	b, err := parse(s)
	return Public{b}, err
}

// PublicFromBytes makes a key from its 32 bytes.
func PublicFromBytes(b [Size]byte) Public { return Public{b} }

// IsZero reports whether the key is not known yet.
func (k Public) IsZero() bool { return k == Public{} }

// Bytes returns the 32 bytes of the key.
func (k Public) Bytes() [Size]byte { return k.b }

// String returns base64, or "" for the zero key.
func (k Public) String() string {
	if k.IsZero() {
		return ""
	}
	return base64.StdEncoding.EncodeToString(k.b[:])
}

// MarshalText implements encoding.TextMarshaler.
func (k Public) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; an empty text is the zero key.
func (k *Public) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*k = Public{}
		return nil
	}
	parsed, err := ParsePublic(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

// A Private key never leaves its gateway. It prints as a placeholder, refuses to marshal and does not compare with ==.
type Private struct{ secret }

// NewPrivate makes a key from the system's random source.
func NewPrivate() (Private, error) {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return Private{}, fmt.Errorf("make a private key: %w", err)
	}
	return Private{keep(clamp([Size]byte(k.Bytes())))}, nil
}

// ParsePrivate reads a key from base64, or returns ErrFormat.
func ParsePrivate(s string) (Private, error) {
	b, err := parse(s)
	if err != nil {
		return Private{}, err
	}
	return Private{keep(clamp(b))}, nil
}

// clamp sets the bits that X25519 fixes (RFC 7748, section 5), as wg(8) stores them.
func clamp(b [Size]byte) [Size]byte {
	b[0] &= 248
	b[31] = b[31]&127 | 64
	return b
}

// Public returns the public half.
func (k Private) Public() Public {
	b := k.Reveal()
	priv, err := ecdh.X25519().NewPrivateKey(b[:])
	if err != nil { // 32 bytes are always a valid X25519 scalar
		panic("key: " + err.Error())
	}
	return Public{[Size]byte(priv.PublicKey().Bytes())}
}

// A Preshared key is WireGuard's optional symmetric secret of one pair of peers.
type Preshared struct{ secret }

// ParsePreshared reads a key from base64, or returns ErrFormat.
func ParsePreshared(s string) (Preshared, error) {
	b, err := parse(s)
	if err != nil {
		return Preshared{}, err
	}
	return Preshared{keep(b)}, nil
}

// secret is what Private and Preshared share: bytes that do not print, marshal or compare with ==. They are behind a function, because
// methods alone do not hide them: fmt and others print an unexported field of somebody else's struct without asking its methods.
type secret struct {
	reveal func() [Size]byte
}

func keep(b [Size]byte) secret { return secret{func() [Size]byte { return b }} }

// Reveal returns the 32 secret bytes, for the kernel, a device's socket or a key file of mode 0600, and nothing else.
func (s secret) Reveal() [Size]byte {
	if s.reveal == nil {
		return [Size]byte{}
	}
	return s.reveal()
}

// IsZero reports whether there is no key.
func (s secret) IsZero() bool { return equal(s, secret{}) }

// equal compares in constant time.
func equal(s, t secret) bool {
	a, b := s.Reveal(), t.Reveal()
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

const redacted = "(secret key)"

// String returns a placeholder.
func (secret) String() string { return redacted }

// Format prints a placeholder for every verb.
func (secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

var errSecret = errors.New("a secret key does not marshal")

// MarshalText always fails.
func (secret) MarshalText() ([]byte, error) { return nil, errSecret }

// MarshalJSON always fails.
func (secret) MarshalJSON() ([]byte, error) { return nil, errSecret }

// Equal reports in constant time whether two private keys are the same.
func (k Private) Equal(other Private) bool { return equal(k.secret, other.secret) }

func parse(s string) (b [Size]byte, err error) {
	if len(s) != base64.StdEncoding.EncodedLen(Size) { // the decoder passes over line breaks
		return b, ErrFormat
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != Size {
		return b, ErrFormat
	}
	return [Size]byte(raw), nil
}
