package store

import (
	"crypto/ed25519"
	"errors"
)

// A Seal is what was signed of a revision by whoever keeps the key that signs plans, where that is no controller (grant.Tree). The zero value is none.
type Seal struct {
	Signature []byte
	Number    uint64 // of the revision: of another one it is worth nothing
	Until     uint64 // when its grants lapse, in seconds since 1970; 0: never
}

// IsZero reports whether it is none.
func (s Seal) IsZero() bool { return len(s.Signature) == 0 }

// fits reports whether a revision may get a number, as far as its seal goes.
func (s Seal) fits(number uint64) bool { return s.IsZero() || s.Number == number }

// sealRecord is a seal as it stands in etcd.
type sealRecord struct {
	Signature []byte `json:"signature"`
	Number    uint64 `json:"number"`
	Until     uint64 `json:"until,omitempty"`
}

func (s Seal) record() *sealRecord {
	if s.IsZero() {
		return nil
	}
	return &sealRecord{s.Signature, s.Number, s.Until}
}

func (r *sealRecord) seal() Seal {
	if r == nil {
		return Seal{}
	}
	return Seal{r.Signature, r.Number, r.Until}
}

func (r *sealRecord) check() error {
	if r != nil && (len(r.Signature) != ed25519.SignatureSize || r.Number == 0) {
		return errors.New("a seal is a signature over a revision")
	}
	return nil
}
