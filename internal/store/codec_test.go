package store

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

const someMark = "000102030405060708090a0b0c0d0e0f"

func someTime() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 1, time.UTC) }

func someRevision(t testing.TB) string {
	t.Helper()
	files, _, err := pack([]byte("file"), []byte("lock"))
	if err != nil {
		t.Fatal(err)
	}
	return encoded(t, &revisionRecord{Version: version, Mark: someMark, Number: 7, At: someTime(), Author: "a", Kind: "apply", Files: files})
}

func someToken(t testing.TB) string {
	t.Helper()
	return encoded(t, &tokenRecord{Version: version, Mark: someMark, ID: "i", Hash: digest{1}, Identity: "gateway/a", Author: "a", Expires: someTime()})
}

func someMember(t testing.TB) string {
	t.Helper()
	return encoded(t, &memberRecord{Version: version, Mark: someMark, Identity: "gateway/a", Fingerprint: digest{1}, At: someTime()})
}

func encoded(t testing.TB, r record) string {
	t.Helper()
	text, err := encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestDecodeRefuses(t *testing.T) {
	kinds := map[string]struct {
		good   string
		decode func(string) error
	}{
		"revision": {someRevision(t), func(s string) error { _, err := decodeRevision(7, []byte(s)); return err }},
		"token":    {someToken(t), func(s string) error { _, err := decodeToken([]byte(s)); return err }},
		"member":   {someMember(t), func(s string) error { _, err := decodeMember("gateway/a", []byte(s)); return err }},
	}
	for kind, k := range kinds {
		if err := k.decode(k.good); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		for name, bad := range map[string]string{
			"empty": "", "null": "null", "nothing": "{}", "cut": k.good[:len(k.good)-1], "two": k.good + k.good, "after": k.good + "}",
			"unknown field": strings.Replace(k.good, "{", `{"privateKey":"x",`, 1),
			"version":       strings.Replace(k.good, `"v":1`, `"v":2`, 1),
			"mark":          strings.Replace(k.good, someMark, "", 1),
			"null mark":     strings.Replace(k.good, `"`+someMark+`"`, "null", 1),
			"time":          strings.Replace(k.good, "2026-", "0001-", 1),
			"large":         k.good + strings.Repeat(" ", maxRecord),
		} {
			if err := k.decode(bad); !errors.Is(err, ErrDamaged) || strings.ContainsAny(err.Error(), "\n\x00\x1b") && name != "nothing" && name != "null" {
				t.Errorf("%s, %s: %v", kind, name, err)
			}
		}
	}
	if _, err := decodeRevision(8, []byte(kinds["revision"].good)); !errors.Is(err, ErrDamaged) {
		t.Errorf("under another number: %v", err)
	}
	if _, err := decodeMember("gateway/b", []byte(kinds["member"].good)); !errors.Is(err, ErrDamaged) {
		t.Errorf("under another identity: %v", err)
	}
}

func TestParseNumber(t *testing.T) {
	for _, bad := range []string{"", "0", "01", "+1", "-1", " 1", "1\n", "1e3", "18446744073709551616", "x"} {
		if _, err := parseNumber([]byte(bad)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if n, err := parseNumber([]byte("18446744073709551615")); err != nil || n != 1<<64-1 {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestUnpackRefuses(t *testing.T) {
	p, chunks, err := pack([]byte("file"), []byte("lock"))
	if err != nil {
		t.Fatal(err)
	}
	good := chunks[0]
	longer, shorter, more := p, p, p
	longer.File, shorter.Lock, more.Chunks = 5, 3, 2
	for name, tt := range map[string]struct {
		p      packing
		chunks [][]byte
	}{
		"none": {p, nil}, "two": {p, [][]byte{good, good}}, "cut": {p, [][]byte{good[:len(good)-1]}}, "not compressed": {p, [][]byte{[]byte("filelock")}},
		"longer": {longer, chunks}, "shorter": {shorter, chunks}, "one missing": {more, chunks}, "after": {p, [][]byte{append(bytes.Clone(good), 'x')}},
		"nothing": {packing{}, nil},
	} {
		if _, _, err := unpack(tt.p, tt.chunks); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is decoded encodes to what decodes.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(someRevision(f)))
	f.Add([]byte(someToken(f)))
	f.Add([]byte(someMember(f)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := decodeRevision(7, data); err == nil {
			if _, err := decodeRevision(7, []byte(encoded(t, r))); err != nil {
				t.Error(err)
			}
		}
		if r, err := decodeToken(data); err == nil {
			if _, err := decodeToken([]byte(encoded(t, r))); err != nil {
				t.Error(err)
			}
		}
		if r, err := decodeMember("gateway/a", data); err == nil {
			if _, err := decodeMember("gateway/a", []byte(encoded(t, r))); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzUnpack(f *testing.F) {
	p, chunks, err := pack([]byte("file"), []byte("lock"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(4, 4, p.Sum[:], chunks[0])
	f.Fuzz(func(t *testing.T, file, lock int, sum, chunk []byte) {
		p := packing{File: file, Lock: lock, Chunks: 1}
		copy(p.Sum[:], sum)
		a, b, err := unpack(p, [][]byte{chunk})
		if err == nil && (len(a) != file || len(b) != lock) {
			t.Errorf("%d and %d bytes where %d and %d were written", len(a), len(b), file, lock)
		}
	})
}
