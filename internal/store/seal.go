package store

import (
	"crypto/ed25519"
	"errors"
)

// A Seal is what was signed of a revision by whoever keeps the key that signs plans, where that is no controller (grant.Tree). The zero value is none. It
// stands in etcd as it is.
type Seal struct {
	Signature []byte `json:"signature"`
	Number    uint64 `json:"number"`          // of the revision: of another one it is worth nothing
	Until     uint64 `json:"until,omitempty"` // when its grants lapse, in seconds since 1970; 0: never
}

// IsZero reports whether it is none.
func (s Seal) IsZero() bool { return len(s.Signature) == 0 }

// fits reports whether a revision may get a number, as far as its seal goes.
func (s Seal) fits(number uint64) bool { return s.IsZero() || s.Number == number }

func (s Seal) check() error {
	none := s.IsZero() && s.Number == 0 && s.Until == 0
	if !none && (len(s.Signature) != ed25519.SignatureSize || s.Number == 0) {
		return errors.New("a seal is a signature over a revision")
	}
	return nil
}
