package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A Header is the first line of an export: all that is needed to judge the lines after it.
type Header struct {
	Version    int    `json:"ropewayAudit"` // 1
	Log        string `json:"log"`
	First      Tree   `json:"first"`      // the log before the first entry of the export; zero where nothing was removed
	Checkpoint string `json:"checkpoint"` // signed, of the log after the last one
	Key        string `json:"key"`        // what knows the signature, where nothing better is known
}

const headerVersion = 1

// maxLine bounds a line of an export, in bytes.
const maxLine = 2*MaxEntry + maxCheckpoint

// WriteHeader begins an export.
func WriteHeader(w io.Writer, h Header) error {
	h.Version = headerVersion
	text, err := json.Marshal(h)
	if err == nil {
		_, err = w.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the first line of an export: %w", err)
	}
	return nil
}

// WriteEntry continues one. What is no entry of this version is refused: the log was changed behind the controllers' backs.
func WriteEntry(w io.Writer, log string, position int64, leaf []byte) error {
	e, err := Decode(leaf)
	if err == nil {
		_, err = w.Write(append(Line(log, position, e), '\n'))
	}
	if err != nil {
		return fmt.Errorf("write entry %d of an export: %w", position, err)
	}
	return nil
}

var errHeader = errors.New("its first line is not that of an export")

func parseHeader(line []byte) (Header, error) {
	var h Header
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&h); err != nil || len(bytes.TrimSpace(line[dec.InputOffset():])) > 0 || h.Version != headerVersion {
		return h, errHeader
	}
	return h, h.First.Check()
}

// lines reads a file line by line. A last line without an end is a line that was cut.
type lines struct {
	r      *bufio.Reader
	number int // of the line read last, from 1
}

var (
	errCut  = errors.New("its last line has no end")
	errLong = fmt.Errorf("it has a line of more than %d bytes", maxLine)
)

// next returns a line without its end, or io.EOF after the last one.
func (l *lines) next() ([]byte, error) {
	l.number++
	line, err := l.r.ReadSlice('\n')
	switch {
	case err == io.EOF && len(line) > 0:
		return nil, errCut
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errLong
	case err != nil:
		return nil, err
	}
	return line[:len(line)-1], nil
}
