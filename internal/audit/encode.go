package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// version is that of an entry's encoding.
const version = 1

// leaf is an entry as JSON has it.
type leaf struct {
	Version  int      `json:"v"`
	At       int64    `json:"at"`
	Until    int64    `json:"until"`
	Count    int64    `json:"count"`
	Who      string   `json:"who"`
	What     string   `json:"what"`
	Object   string   `json:"object"`
	From     string   `json:"from"`
	Revision uint64   `json:"revision"`
	Outcome  Outcome  `json:"outcome"`
	Code     string   `json:"code"`
	Override []string `json:"override"`
	Detail   string   `json:"detail"`
}

// Encode returns the one encoding of an entry, which is hashed: a line of JSON without its end, its fields in order, none that is empty.
func Encode(e Entry) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("encode an audit entry: %w", err)
	}
	return encode(e), nil
}

func encode(e Entry) []byte {
	var w writer
	w.object("", func() {
		w.number("v", version)
		w.number("at", e.At)
		w.number("until", e.Until)
		w.number("count", e.Count)
		w.text("who", e.Who)
		w.text("what", e.What)
		w.text("object", e.Object)
		w.text("from", e.From)
		w.revision(e.Revision)
		w.text("outcome", string(e.Outcome))
		w.text("code", e.Code)
		w.texts("override", e.Override)
		w.text("detail", e.Detail)
	})
	return w.b
}

// Decode takes nothing but what Encode writes, or returns ErrFormat.
func Decode(data []byte) (Entry, error) {
	if len(data) > MaxEntry {
		return Entry{}, fmt.Errorf("%w: it has more than %d bytes", ErrFormat, MaxEntry)
	}
	var l leaf
	if err := json.Unmarshal(data, &l); err != nil || l.Version != version {
		return Entry{}, fmt.Errorf("%w of version %d", ErrFormat, version)
	}
	e := Entry{l.At, l.Until, l.Count, l.Who, l.What, l.Object, l.From, l.Revision, l.Outcome, l.Code, l.Override, l.Detail}
	if err := e.check(); err != nil {
		return Entry{}, err
	}
	if !bytes.Equal(encode(e), data) {
		return Entry{}, fmt.Errorf("%w: it holds something unknown, twice, or in another order", ErrFormat)
	}
	return e, nil
}

// A writer writes JSON in one way: in the order asked for, without spaces, without what is empty. Package encoding/json does not promise to
// write the same for ever, and a leaf must hash the same for ever. Text is printable, so quotes and backslashes are all there is to escape.
type writer struct{ b []byte }

func (w *writer) name(name string) {
	if n := len(w.b); n > 0 && w.b[n-1] != '{' && w.b[n-1] != '[' {
		w.b = append(w.b, ',')
	}
	if name != "" {
		w.quote(name)
		w.b = append(w.b, ':')
	}
}

func (w *writer) quote(text string) {
	w.b = append(w.b, '"')
	for i := range len(text) {
		if c := text[i]; c == '"' || c == '\\' {
			w.b = append(w.b, '\\')
		}
		w.b = append(w.b, text[i])
	}
	w.b = append(w.b, '"')
}

// text, texts, number, revision and object leave out what is empty.
func (w *writer) text(name, value string) {
	if value != "" {
		w.name(name)
		w.quote(value)
	}
}

func (w *writer) texts(name string, values []string) {
	if len(values) == 0 {
		return
	}
	w.name(name)
	w.b = append(w.b, '[')
	for _, v := range values {
		w.name("")
		w.quote(v)
	}
	w.b = append(w.b, ']')
}

func (w *writer) number(name string, value int64) {
	if value != 0 {
		w.whole(name, value)
	}
}

func (w *writer) revision(n uint64) {
	if n != 0 {
		w.name("revision")
		w.b = strconv.AppendUint(w.b, n, 10)
	}
}

func (w *writer) object(name string, fields func()) {
	before := len(w.b)
	w.name(name)
	w.b = append(w.b, '{')
	begun := len(w.b)
	if fields(); len(w.b) == begun && name != "" {
		w.b = w.b[:before]
		return
	}
	w.b = append(w.b, '}')
}

// whole writes a number even where it is 0.
func (w *writer) whole(name string, value int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, value, 10)
}
