package audit

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Checkpoint says what a log was at a moment.
type Checkpoint struct {
	Log   string // which log (LogName)
	Size  int64  // entries
	Root  tlog.Hash
	First int64 // the oldest that had not been exported and removed: signed, so that nobody can leave entries out and say that they had been
}

// LogName returns what the log of a fabric is called, in checkpoints and as the name of their key.
func LogName(fabric string) string { return "ropeway/" + fabric + "/audit" }

// text is what is signed: the body of a C2SP tlog-checkpoint (https://c2sp.org/tlog-checkpoint), with one extension line.
func (c Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\nfirst %d\n", c.Log, c.Size, c.Root, c.First)
}

// Why a checkpoint is not believed. Test with errors.Is.
var (
	ErrCheckpoint = errors.New("it is not a checkpoint of an audit log")
	ErrSignature  = errors.New("it is not signed by the key of the log")
)

// A Signer signs the checkpoints of one log.
type Signer struct {
	key      crypto.Signer
	log, pub string
	verifier note.Verifier
}

// NewSigner returns a signer with a key of Ed25519.
func NewSigner(log string, key crypto.Signer) (*Signer, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("sign checkpoints: the key is a %T, and must be Ed25519", key.Public())
	}
	pub, err := note.NewEd25519VerifierKey(log, public)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoints: %w", err)
	}
	verifier, err := note.NewVerifier(pub)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoints: %w", err)
	}
	return &Signer{key, log, pub, verifier}, nil
}

// Log returns the name of the log.
func (s *Signer) Log() string { return s.log }

// Key returns what knows the signatures: NAME+HASH+KEY, as package note reads it. It is public.
func (s *Signer) Key() string { return s.pub }

// Checkpoint returns the signed checkpoint of a tree, of which the leaves before first are no longer there.
func (s *Signer) Checkpoint(t Tree, first int64) (string, error) {
	signed, err := note.Sign(&note.Note{Text: Checkpoint{s.log, t.Size, t.Root(), first}.text()}, noteSigner{s})
	if err != nil {
		return "", fmt.Errorf("sign a checkpoint: %w", err)
	}
	return string(signed), nil
}

// noteSigner implements note.Signer.
type noteSigner struct{ *Signer }

func (s noteSigner) Name() string                    { return s.log }
func (s noteSigner) KeyHash() uint32                 { return s.verifier.KeyHash() }
func (s noteSigner) Sign(msg []byte) ([]byte, error) { return s.key.Sign(nil, msg, crypto.Hash(0)) } // Ed25519 takes the message, and no random bytes

// maxCheckpoint bounds a signed checkpoint, in bytes: three short lines and a few signatures, of witnesses too.
const maxCheckpoint = 64 << 10

// OpenCheckpoint returns what a signed checkpoint says, if the key signed it: else ErrSignature, or ErrCheckpoint. Signatures of others are
// not looked at.
func OpenCheckpoint(signed, key string) (Checkpoint, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: the key is none: want NAME+HASH+KEY", ErrSignature)
	}
	if len(signed) > maxCheckpoint {
		return Checkpoint{}, fmt.Errorf("%w: it has more than %d bytes", ErrCheckpoint, maxCheckpoint)
	}
	opened, err := note.Open([]byte(signed), note.VerifierList(verifier))
	var invalid *note.InvalidSignatureError
	var unknown *note.UnverifiedNoteError
	switch {
	case errors.As(err, &invalid), errors.As(err, &unknown):
		return Checkpoint{}, fmt.Errorf("%w: %s", ErrSignature, verifier.Name())
	case err != nil:
		return Checkpoint{}, ErrCheckpoint
	}
	c, err := parseCheckpoint(opened.Text)
	if err == nil && c.Log != verifier.Name() {
		err = fmt.Errorf("%w: the key is that of another log", ErrSignature)
	}
	return c, err
}

// parseCheckpoint reads what text writes, and nothing else.
func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 5 {
		return Checkpoint{}, ErrCheckpoint
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	root, err2 := tlog.ParseHash(lines[2])
	first, err3 := strconv.ParseInt(strings.TrimPrefix(lines[3], "first "), 10, 64)
	c := Checkpoint{lines[0], size, root, first}
	if errors.Join(err, err2, err3) != nil || first < 0 || size < first || c.text() != text {
		return Checkpoint{}, ErrCheckpoint
	}
	return c, nil
}
