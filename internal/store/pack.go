package store

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

const (
	maxFiles  = 64 << 20 // of the files of a revision together, in bytes
	chunkSize = 1 << 20  // etcd takes 1.5 MiB in one request
)

// ErrTooLarge is returned for files that no revision holds.
var ErrTooLarge = errors.New("the files of a revision are too large")

// A packing says what the chunks of a revision make when they are put together.
type packing struct {
	File   int    `json:"file"` // bytes
	Lock   int    `json:"lock"`
	Sum    digest `json:"sum"` // SHA-256 of both
	Chunks int    `json:"chunks"`
}

func (p packing) check() error {
	if p.File < 0 || p.File > maxFiles || p.Lock < 0 || p.Lock > maxFiles || p.File+p.Lock > maxFiles {
		return fmt.Errorf("%w: more than %d MiB", ErrTooLarge, maxFiles>>20)
	}
	if p.Chunks < 1 || p.Chunks > maxFiles/chunkSize+1 { // what does not compress grows a little
		return errors.New("the number of chunks makes no sense")
	}
	return nil
}

// pack compresses the two files of a revision, one after the other, and cuts them into chunks.
func pack(file, lock []byte) (packing, [][]byte, error) {
	p := packing{File: len(file), Lock: len(lock), Chunks: 1}
	if err := p.check(); err != nil {
		return p, nil, err
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return p, nil, fmt.Errorf("compress: %w", err)
	}
	sum := sha256.New()
	both := io.MultiWriter(w, sum)
	_, err = both.Write(file)
	_, err2 := both.Write(lock)
	if err := errors.Join(err, err2, w.Close()); err != nil {
		return p, nil, fmt.Errorf("compress: %w", err)
	}
	var chunks [][]byte
	for rest := b.Bytes(); len(rest) > 0; {
		n := min(len(rest), chunkSize)
		chunks, rest = append(chunks, rest[:n:n]), rest[n:]
	}
	p.Sum, p.Chunks = digest(sum.Sum(nil)), len(chunks)
	return p, chunks, p.check()
}

// unpack is the reverse. It takes no more memory than the packing says, whatever the chunks hold.
func unpack(p packing, chunks [][]byte) (file, lock []byte, err error) {
	if err := p.check(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if len(chunks) != p.Chunks {
		return nil, nil, fmt.Errorf("%w: %d chunks where %d were written", ErrDamaged, len(chunks), p.Chunks)
	}
	r, err := gzip.NewReader(bytes.NewReader(bytes.Join(chunks, nil)))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: decompress: %w", ErrDamaged, err)
	}
	size := p.File + p.Lock
	data, err := io.ReadAll(io.LimitReader(r, int64(size)+1))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: decompress: %w", ErrDamaged, err)
	}
	if len(data) != size || sha256.Sum256(data) != p.Sum {
		return nil, nil, fmt.Errorf("%w: the files are not those that were written", ErrDamaged)
	}
	return data[:p.File:p.File], data[p.File:], nil
}
