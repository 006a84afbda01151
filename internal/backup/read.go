package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"

	"ropeway/internal/authority"
	"ropeway/internal/diag"
	"ropeway/internal/store"
)

// A Reader reads a backup. Nothing that it tells is to be kept before Next has told the end.
type Reader struct {
	About  About
	Bundle authority.Bundle

	from  *bufio.Reader
	sum   hash.Hash
	lines int
	item  *line // read ahead
	ended bool
}

// Open reads what a backup is of, and the authority in it.
func Open(from io.Reader, keys []age.Identity) (*Reader, error) {
	plain, err := age.Decrypt(from, keys...)
	var foreign *age.NoIdentityMatchError
	var away diag.Problem
	switch {
	case errors.As(err, &away): // what has the key did not answer, and has said why
		return nil, fmt.Errorf("open a backup: %w", err)
	case errors.As(err, &foreign):
		return nil, fmt.Errorf("open a backup: %w", ErrKey)
	case err != nil:
		return nil, fmt.Errorf("open a backup: %w: %s", ErrDamaged, diag.Quote(err.Error()))
	}
	r := &Reader{from: bufio.NewReaderSize(plain, 64<<10), sum: sha256.New()}
	first, err := r.next()
	if err != nil {
		return nil, fmt.Errorf("open a backup: %w", err)
	}
	if first.Kind != kind || first.Version != version {
		return nil, fmt.Errorf("open a backup: %w: it says that it is %s of version %d", ErrForeign, diag.Quote(first.Kind), first.Version)
	}
	r.About = About{Fabric: first.Fabric, At: first.At}
	files := map[string][]byte{}
	for {
		l, err := r.next()
		if err != nil {
			return nil, fmt.Errorf("open a backup: %w", err)
		}
		if l.File == "" {
			r.item = l
			break
		}
		files[l.File] = l.Data
	}
	if r.Bundle, err = authority.NewBundle(files); err != nil {
		return nil, fmt.Errorf("open a backup: %w: %w", ErrDamaged, err)
	}
	return r, nil
}

// Next returns one item after the other, and at the end, when all of it was found whole, one without a key.
func (r *Reader) Next() (store.Item, error) {
	if r.ended {
		return store.Item{}, nil
	}
	l := r.item
	r.item = nil
	if l == nil {
		var err error
		if l, err = r.next(); err != nil {
			return store.Item{}, fmt.Errorf("read a backup: %w", err)
		}
	}
	if r.ended {
		return store.Item{}, nil
	}
	if len(l.Key) == 0 {
		return store.Item{}, fmt.Errorf("read a backup: %w: a line that is nothing", ErrDamaged)
	}
	return store.Item{Key: l.Key, Value: l.Value, Expires: l.Expires}, nil
}

// next returns a line. The last one is held against all before, and nothing may come after it.
func (r *Reader) next() (*line, error) {
	text, err := r.text()
	if err != nil {
		return nil, err
	}
	l := &line{}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if dec.Decode(l) != nil { // what is wrong may quote a key
		return nil, fmt.Errorf("%w: line %d cannot be read", ErrDamaged, r.lines+1)
	}
	if l.End == 0 {
		r.lines++
		_, _ = r.sum.Write(text)
		return l, nil
	}
	if l.End != r.lines || !bytes.Equal(l.Sum, r.sum.Sum(nil)) {
		return nil, fmt.Errorf("%w: its sum is not that of what it holds", ErrDamaged)
	}
	if _, err := r.from.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something comes after its end", ErrDamaged)
	}
	r.ended = true
	return l, nil
}

// text returns the bytes of a line, its end included.
func (r *Reader) text() ([]byte, error) {
	var out []byte
	for {
		piece, err := r.from.ReadSlice('\n')
		out = append(out, piece...)
		switch {
		case err == nil:
			return out, nil
		case errors.Is(err, bufio.ErrBufferFull) && len(out) <= maxLine:
			continue
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%w: line %d is too long", ErrDamaged, r.lines+1)
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%w: it ends after line %d", ErrDamaged, r.lines)
		}
		return nil, fmt.Errorf("%w: after line %d: %s", ErrDamaged, r.lines, diag.Quote(err.Error()))
	}
}
