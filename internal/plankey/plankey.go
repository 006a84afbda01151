// Package plankey reads and writes the public half of a key that signs plans, as people hand it around.
//
// The key itself is with its owner: in a file, an SSH agent or a KMS (package signer). What those print for the public half differs, so three
// forms are read: a line of OpenSSH's, PEM, and bare base64. All are Ed25519.
package plankey

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
)

// Why a text is no key. Test with errors.Is; the text is never part of the error, since it may be a private key.
var (
	ErrFormat  = errors.New(`not a public key of Ed25519: want a line "ssh-ed25519 AAAA…", PEM ("BEGIN PUBLIC KEY"), or base64 of 32 bytes`)
	ErrPrivate = errors.New("it is a private key, and the public half is wanted")
	ErrWeak    = errors.New("it is a key of small order, for which anybody can sign")
)

// kind is what OpenSSH calls an Ed25519 key (RFC 8709).
const kind = "ssh-ed25519"

// Public reads a public key.
func Public(text []byte) (ed25519.PublicKey, error) {
	text = bytes.TrimSpace(text)
	key, err := parse(text)
	if err != nil {
		return nil, err
	}
	if weak(key) {
		return nil, ErrWeak
	}
	return key, nil
}

func parse(text []byte) (ed25519.PublicKey, error) {
	switch {
	case bytes.Contains(text, []byte("PRIVATE KEY-----")):
		return nil, ErrPrivate
	case bytes.HasPrefix(text, []byte("-----BEGIN ")):
		return fromPEM(text)
	case bytes.HasPrefix(text, []byte(kind+" ")):
		return fromSSH(string(text))
	}
	key, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, ErrFormat
	}
	return key, nil
}

// fromPEM reads a SubjectPublicKeyInfo (RFC 8410), and nothing beside it.
func fromPEM(text []byte) (ed25519.PublicKey, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, ErrFormat
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, ErrFormat
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, ErrFormat
	}
	return public, nil
}

// fromSSH reads a line of ssh-keygen's: the kind, the key in base64, and a comment, which may have spaces.
func fromSSH(line string) (ed25519.PublicKey, error) {
	fields := strings.Fields(line)
	if len(fields) < 2 || strings.ContainsAny(line, "\r\n") {
		return nil, ErrFormat
	}
	data, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	head := blob(nil)
	if err != nil || len(data) != len(head)+ed25519.PublicKeySize || !bytes.HasPrefix(data, head[:len(head)-4]) {
		return nil, ErrFormat
	}
	key := ed25519.PublicKey(data[len(head):])
	if !bytes.Equal(blob(key), data) {
		return nil, ErrFormat
	}
	return key, nil
}

// blob is a key in the encoding of RFC 8709, section 4.
func blob(key ed25519.PublicKey) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(kind)))
	out = append(out, kind...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(key)))
	return append(out, key...)
}

// Line returns a key as OpenSSH writes it, without a comment; Public reads it.
func Line(key ed25519.PublicKey) string {
	return kind + " " + base64.StdEncoding.EncodeToString(blob(key))
}

// Fingerprint names a key as `ssh-keygen -l` does: SHA256:…
func Fingerprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(blob(key))
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// weak reports whether a key is one of the few points of small order: blank bytes are. A signature for it is made without any private key.
func weak(key ed25519.PublicKey) bool {
	unsigned := slices.Clone(key)
	unsigned[len(unsigned)-1] &= 0x7f // the sign of x
	return slices.Contains([]string{  // y, little-endian
		"0000000000000000000000000000000000000000000000000000000000000000", // 0, of order 4
		"0100000000000000000000000000000000000000000000000000000000000000", // 1, of order 1
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // of order 8
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // of order 8
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // -1, of order 2
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // 0 again, not reduced
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // 1 again, not reduced
	}, hex.EncodeToString(unsigned))
}
