// Package backup writes everything that a fabric cannot be without into one stream, and makes a controller of it again.
//
// That is what the store holds, as it was at one moment (revisions, tokens that could still serve, members), and the authority, private keys
// included: without its keys a restored controller would be a stranger to every gateway. So a backup is secret. It is encrypted (age,
// age-encryption.org/v1) for recipients whose keys are kept elsewhere, and no controller can read it again. age authenticates every piece and
// the end, so what was changed or cut off is refused; a sum over the whole stands inside as well, against whatever wrote it wrongly.
//
// It is no copy of etcd's files. So it does not depend on etcd's version or on how many controllers there are, holds nothing of others
// who use the same etcd, and a fabric can be restored to another kind of store than it came from.
//
// The clear text is JSON, a line for each thing: one that says what it is, one for each file of the authority, one for each key, and
// one that ends it.
//
// What controllers handed out after the backup was made is unknown to one that is restored, and gateways hold it, signed. A restored fabric
// therefore numbers its revisions far past those of the backup, and begins with one of its own, which every gateway follows (Restore).
package backup

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"time"

	"filippo.io/age"

	"ropeway/internal/authority"
	"ropeway/internal/store"
)

// Why a backup is not restored. Test with errors.Is.
var (
	ErrKey     = errors.New("it was not encrypted for this key")
	ErrDamaged = errors.New("it was changed, is cut off, or is no backup")
	ErrForeign = errors.New("it is of another fabric, or of another version")
)

const (
	kind    = "ropeway backup"
	version = 1
	maxLine = 4 << 20 // a value takes 1 MiB, and a third more as text
)

// About says what a backup is of.
type About struct {
	Fabric string
	At     time.Time // when it was begun
}

// A line is one of the clear text; which fields it has says of what kind it is.
type line struct {
	Kind    string    `json:"kind,omitempty"`
	Version int       `json:"v,omitempty"`
	Fabric  string    `json:"fabric,omitempty"`
	At      time.Time `json:"at,omitzero"`

	File string `json:"file,omitempty"`
	Data []byte `json:"data,omitempty"`

	Key     []byte    `json:"key,omitempty"`
	Value   []byte    `json:"value,omitempty"`
	Expires time.Time `json:"expires,omitzero"`

	End int    `json:"end,omitempty"` // how many lines come before
	Sum []byte `json:"sum,omitempty"` // SHA-256 of them
}

// Write writes a backup of what dump tells (store.Dump does) and of an authority.
func Write(to io.Writer, recipients []age.Recipient, about About, b authority.Bundle, dump func(func(store.Item) error) error) error {
	sealed, err := age.Encrypt(to, recipients...)
	if err != nil {
		return fmt.Errorf("begin a backup: %w", err)
	}
	w := &writer{to: sealed, sum: sha256.New()}
	w.write(line{Kind: kind, Version: version, Fabric: about.Fabric, At: about.At.UTC()})
	files := b.Files()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w.write(line{File: name, Data: files[name]})
	}
	err = dump(func(item store.Item) error {
		w.write(line{Key: item.Key, Value: item.Value, Expires: item.Expires})
		return w.err
	})
	w.write(line{End: w.lines, Sum: w.sum.Sum(nil)})
	if err := errors.Join(err, w.err); err != nil {
		return fmt.Errorf("write a backup: %w", err) // sealed stays open: what was written is no whole file
	}
	if err := sealed.Close(); err != nil {
		return fmt.Errorf("end a backup: %w", err)
	}
	return nil
}

// A writer remembers the first thing that went wrong.
type writer struct {
	to    io.Writer
	sum   hash.Hash
	lines int
	err   error
}

func (w *writer) write(l line) {
	if w.err != nil {
		return
	}
	text, err := json.Marshal(l)
	if err != nil {
		w.err = err
		return
	}
	defer clear(text)
	text = append(text, '\n')
	w.lines++
	_, _ = w.sum.Write(text) // never fails (package hash)
	_, w.err = w.to.Write(text)
}
