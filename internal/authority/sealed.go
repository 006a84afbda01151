package authority

import (
	"crypto"
	"errors"
	"fmt"
	"io"
)

// sealed is a private key that signs and nothing else. It is behind a function, because methods alone do not hide it: fmt and others print
// an unexported field of somebody else's struct without asking its methods.
type sealed struct {
	open func() crypto.Signer
}

func seal(k crypto.Signer) sealed { return sealed{func() crypto.Signer { return k }} }

// Public implements crypto.Signer.
func (s sealed) Public() crypto.PublicKey { return s.open().Public() }

// Sign implements crypto.Signer.
func (s sealed) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.open().Sign(rand, digest, opts)
}

const redacted = "(secret key)"

// String returns a placeholder.
func (sealed) String() string { return redacted }

// Format prints a placeholder for every verb.
func (sealed) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

var errSecret = errors.New("a secret key does not marshal")

// MarshalText always fails.
func (sealed) MarshalText() ([]byte, error) { return nil, errSecret }

// MarshalJSON always fails.
func (sealed) MarshalJSON() ([]byte, error) { return nil, errSecret }
