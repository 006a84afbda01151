package proposal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"ropeway/internal/fabric"
)

// A Saved is what somebody looked at and wants to apply later, exactly so: the file, the revision that it was compared with, and the digest of the
// proposal that was shown. It holds nothing secret, because neither of the three does.
type Saved struct {
	Fabric string `json:"fabric"`
	Name   string `json:"name"`   // of the file, as messages and the proposal call it
	Base   uint64 `json:"base"`   // 0: there was no revision yet
	Digest string `json:"digest"` // of the proposal; see Digest
	File   []byte `json:"file"`
}

// savedMark is what a saved plan begins with, and no fabric file does. The SHA-256 of all that follows the first line stands behind it.
const savedMark = "ropeway-plan/1 sha256:"

// ErrDamaged is returned for a saved plan that was cut or changed. Test with errors.Is.
var ErrDamaged = errors.New("it is not as it was saved: cut, or changed")

// Digest returns what a proposal is known by again: the SHA-256 of its JSON, in hexadecimal digits.
func Digest(proposal []byte) string {
	sum := sha256.Sum256(proposal)
	return hex.EncodeToString(sum[:])
}

// IsSaved reports whether a file means to be a saved plan.
func IsSaved(data []byte) bool { return bytes.HasPrefix(data, []byte(savedMark)) }

// Encode returns the file.
func (s *Saved) Encode() ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode a saved plan: %w", err)
	}
	body = append(body, '\n')
	return append([]byte(savedMark+Digest(body)+"\n"), body...), nil
}

// DecodeSaved reads what Encode wrote, and nothing else.
func DecodeSaved(data []byte) (*Saved, error) {
	first, body, ok := bytes.Cut(data, []byte("\n"))
	if !ok || !IsSaved(first) || string(first[len(savedMark):]) != Digest(body) {
		return nil, ErrDamaged
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	s := &Saved{}
	if dec.Decode(s) != nil || dec.More() {
		return nil, fmt.Errorf("%w, or saved by another version", ErrDamaged)
	}
	if raw, err := hex.DecodeString(s.Digest); err != nil || len(raw) != sha256.Size || !fabric.ValidName(s.Fabric) || !utf8.ValidString(s.Name) {
		return nil, ErrDamaged
	}
	return s, nil
}
