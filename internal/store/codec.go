package store

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ropeway/internal/diag"
)

// version is that of every value that is JSON. One of another version is not read: it says what this program does not know.
const version = 1

// maxRecord bounds a value that is JSON, in bytes: what is said of 10,000 gateways fits, and beside a chunk into one request.
const maxRecord = 384 << 10

// A record is a value that is JSON, and says what makes it one that this package never wrote.
type record interface{ check() error }

func encode(r record) (string, error) {
	if err := r.check(); err != nil {
		return "", err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encode a record: %w", err)
	}
	if len(data) > maxRecord {
		return "", fmt.Errorf("it takes %d bytes, and %d is the most", len(data), maxRecord)
	}
	return string(data), nil
}

func decode(data []byte, into record) error {
	if len(data) > maxRecord {
		return fmt.Errorf("%w: a record of %d bytes", ErrDamaged, len(data))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%w: %s", ErrDamaged, diag.Quote(err.Error()))
	}
	if rest := bytes.TrimSpace(data[dec.InputOffset():]); len(rest) > 0 {
		return fmt.Errorf("%w: there is text after the end of a record", ErrDamaged)
	}
	if err := into.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// A digest is 32 bytes, in hexadecimal digits where it is text.
type digest [32]byte

// MarshalText implements encoding.TextMarshaler.
func (d digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return errors.New("a digest has 64 hexadecimal digits")
	}
	_, err := hex.Decode(d[:], text)
	return err
}

func checkVersion(v int) error {
	if v != version {
		return fmt.Errorf("a record of version %d, and this program knows version %d", v, version)
	}
	return nil
}

// checkTime refuses a time that is not there, or that JSON cannot say.
func checkTime(t time.Time) error {
	if t.IsZero() || t.Year() < 1970 || t.Year() > 9999 {
		return errors.New("a time is missing")
	}
	return nil
}

func checkMark(mark string) error {
	if raw, err := hex.DecodeString(mark); err != nil || len(raw) != 16 {
		return errors.New("a mark is missing")
	}
	return nil
}
