package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ropeway/internal/diag"
)

const shop = "ropeway/shop/audit"

func signer(t testing.TB, log string, seed byte) *Signer {
	t.Helper()
	s, err := NewSigner(log, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// history is what happened to a log.
type history struct {
	t       testing.TB
	signer  *Signer
	entries []Entry
}

func newHistory(t testing.TB, n int) *history {
	h := &history{t: t, signer: signer(t, shop, 1)}
	for i := range n {
		h.entries = append(h.entries, entry(i))
	}
	return h
}

func (h *history) tree(size int) (tree Tree) {
	for _, e := range h.entries[:size] {
		tree.Append(encode(e))
	}
	return tree
}

func (h *history) checkpoint(size, first int) string {
	h.t.Helper()
	text, err := h.signer.Checkpoint(h.tree(size), int64(first))
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

// export is the entries from first to size, as a file.
func (h *history) export(first, size int) string {
	h.t.Helper()
	var b strings.Builder
	err := WriteHeader(&b, Header{Log: h.signer.Log(), First: h.tree(first), Checkpoint: h.checkpoint(size, first), Key: h.signer.Key()})
	for i := first; i < size && err == nil; i++ {
		err = WriteEntry(&b, h.signer.Log(), int64(i), encode(h.entries[i]))
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return b.String()
}

func judged(known Known, texts ...string) (*Verdict, diag.Code, error) {
	var files []File
	for i, text := range texts {
		files = append(files, File{fmt.Sprintf("part%d.jsonl", i), strings.NewReader(text)})
	}
	v, err := Verify(known, files...)
	var p diag.Problem
	errors.As(err, &p)
	return v, p.Code, err
}

func TestAnHonestExport(t *testing.T) {
	h := newHistory(t, 21)
	for size := range 22 {
		for kept := 0; kept <= size; kept++ {
			v, _, err := judged(Known{Key: h.signer.Key(), Checkpoint: h.checkpoint(kept, 0)}, h.export(0, size))
			if err != nil || v.Size != int64(size) || v.Kept != int64(kept) || !v.Known || v.Log != shop {
				t.Fatalf("%d entries, a checkpoint of %d: %+v, %v", size, kept, v, err)
			}
		}
	}
	if v, _, err := judged(Known{}, h.export(0, 21)); err != nil || v.Known || v.Kept != -1 {
		t.Errorf("nothing known: %+v, %v", v, err)
	}
}

// A log that was trimmed is proven from its parts, whichever are there.
func TestATrimmedLog(t *testing.T) {
	h := newHistory(t, 30)
	parts := []string{h.export(0, 7), h.export(7, 7), h.export(7, 20), h.export(20, 30)}
	for from := range parts {
		first := []int{0, 7, 7, 20}[from]
		for _, kept := range []int{first, 20, 25, 30} {
			v, _, err := judged(Known{Checkpoint: h.checkpoint(kept, 0)}, parts[from:]...)
			if err != nil || v.First != int64(first) || v.Size != 30 || v.Kept != int64(kept) {
				t.Errorf("from part %d, checkpoint of %d: %+v, %v", from, kept, v, err)
			}
		}
	}
	for name, c := range map[string]struct {
		want diag.Code
		kept string
		file []string
	}{
		"a checkpoint of before":     {codeBeyond, h.checkpoint(6, 0), parts[2:]},
		"a part is missing":          {codeOrder, "", []string{parts[0], parts[3]}},
		"in another order":           {codeOrder, "", []string{parts[2], parts[0]}},
		"twice the same":             {codeOrder, "", []string{parts[0], parts[0]}},
		"entries said to be trimmed": {codeOrder, "", []string{strings.Replace(h.export(5, 12), mustJSON(h.checkpoint(12, 5)), mustJSON(h.checkpoint(12, 0)), 1)}},
	} {
		if _, code, err := judged(Known{Checkpoint: c.kept}, c.file...); code != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func mustJSON(text string) string { return strings.ReplaceAll(text, "\n", `\n`) }

func TestTampering(t *testing.T) {
	h := newHistory(t, 9)
	good := h.export(0, 9)
	lines := strings.SplitAfter(good, "\n")
	without := func(i int) string { return strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "") }
	rewritten := newHistory(t, 9)
	rewritten.entries[3].Who = "operator/eve"
	other, forger := newHistory(t, 9), newHistory(t, 9)
	other.signer, forger.signer = signer(t, "ropeway/shoe/audit", 1), signer(t, shop, 2)
	changed := strings.Split(rewritten.export(0, 9), "\n")[4] + "\n"
	short := newHistory(t, 5)
	for name, c := range map[string]struct {
		text  string
		known Known
		want  diag.Code
	}{
		"nothing":                        {"", Known{}, codeFormat},
		"no header":                      {strings.Join(lines[1:], ""), Known{}, codeFormat},
		"a header of something else":     {"{}\n" + strings.Join(lines[1:], ""), Known{}, codeFormat},
		"a header with more":             {strings.Replace(good, `{"ropewayAudit"`, `{"x":1,"ropewayAudit"`, 1), Known{}, codeFormat},
		"an edge that is none":           {strings.Replace(good, `"edge":null`, `"edge":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]`, 1), Known{}, codeFormat},
		"a line without end":             {good + strings.Repeat("x", 4*maxLine) + "\n", Known{}, codeFormat},
		"a word changed":                 {strings.Replace(good, "operator/ann", "operator/eve", 1), Known{}, codeRoot},
		"a number changed":               {strings.Replace(good, `"severity_id":1`, `"severity_id":2`, 1), Known{}, codeChanged},
		"a field added":                  {strings.Replace(good, `{"class_uid"`, `{"x":1,"class_uid"`, 1), Known{}, codeChanged},
		"a field said twice":             {strings.Replace(good, `"time":`, `"time":1,"time":`, 1), Known{}, codeChanged},
		"a space":                        {strings.Replace(good, `{"class_uid"`, `{ "class_uid"`, 1), Known{}, codeChanged},
		"an empty line":                  {strings.Replace(good, "\n{\"class_uid\"", "\n\n{\"class_uid\"", 1), Known{}, codeChanged},
		"the first entry removed":        {without(1), Known{}, codeOrder},
		"one removed":                    {without(4), Known{}, codeOrder},
		"the last one removed":           {without(9), Known{}, codeLength},
		"cut within a line":              {good[:len(good)-20], Known{}, codeLength},
		"the last end cut":               {good[:len(good)-1], Known{}, codeLength},
		"two swapped":                    {strings.Join(slices.Concat(lines[:2], lines[3:4], lines[2:3], lines[4:]), ""), Known{}, codeOrder},
		"one twice":                      {strings.Join(slices.Concat(lines[:2], lines[1:]), ""), Known{}, codeOrder},
		"one added":                      {good + string(Line(shop, 9, entry(1))) + "\n", Known{}, codeLength},
		"one rewritten":                  {strings.Join(slices.Concat(lines[:4], []string{changed}, lines[5:]), ""), Known{}, codeRoot},
		"the log rewritten":              {rewritten.export(0, 9), Known{Key: h.signer.Key(), Checkpoint: h.checkpoint(6, 0)}, codeForked},
		"rewritten, of the same size":    {rewritten.export(0, 9), Known{Checkpoint: h.checkpoint(9, 0)}, codeForked},
		"rewritten after the kept one":   {rewritten.export(0, 9), Known{Checkpoint: h.checkpoint(3, 0)}, ""},
		"the log shortened":              {short.export(0, 5), Known{Checkpoint: h.checkpoint(9, 0)}, codeBeyond},
		"signed by somebody else":        {forger.export(0, 9), Known{Key: h.signer.Key()}, codeSigned},
		"the same, the checkpoint kept":  {forger.export(0, 9), Known{Checkpoint: h.checkpoint(9, 0)}, codeSigned},
		"not signed":                     {strings.Replace(good, `\n\n— `, `\n`, 1), Known{}, codeSigned},
		"another's name":                 {strings.Replace(other.export(0, 9), `"log":"ropeway/shoe/audit"`, `"log":"ropeway/shop/audit"`, 1), Known{}, codeOther},
		"no key":                         {good, Known{Key: "x"}, codeSigned},
		"a kept checkpoint that is none": {good, Known{Checkpoint: "x"}, codeFormat},
		"honest":                         {good, Known{Key: h.signer.Key(), Checkpoint: h.checkpoint(9, 0)}, ""},
	} {
		v, code, err := judged(c.known, c.text)
		if code != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s: %+v, %v; want %s", name, v, err, c.want)
		}
		if err != nil && c.want != "" && (!strings.Contains(err.Error(), "part0.jsonl:") || strings.ContainsAny(err.Error(), "\n\x00")) {
			t.Errorf("%s: %q does not say where, or says too much", name, err)
		}
	}
}

// No byte of an export can be another one, and no length shorter, without being refused; where a byte says the same either way, the verdict is the same.
func TestEveryByteCounts(t *testing.T) {
	h := newHistory(t, 2)
	good := h.export(0, 2)
	known := Known{Key: h.signer.Key(), Checkpoint: h.checkpoint(1, 0)}
	honest, _, err := judged(known, good)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range len(good) {
		if _, _, err := judged(known, good[:i]); err == nil {
			t.Fatalf("the first %d bytes are taken for all", i)
		}
		bad := []byte(good)
		bad[i] ^= 1 << (i % 8)
		v, _, err := judged(known, string(bad))
		if err != nil {
			refused++
			continue
		}
		if v.Checkpoint = honest.Checkpoint; *v != *honest { // a signature has bits that say nothing
			t.Fatalf("byte %d changed: %+v", i, v)
		}
		if i > strings.IndexByte(good, '\n') {
			t.Fatalf("byte %d of an entry changed, and nobody tells", i)
		}
	}
	if refused < len(good)*9/10 {
		t.Errorf("%d refusals of %d bytes", refused, len(good))
	}
}

func TestCheckpoints(t *testing.T) {
	h := newHistory(t, 3)
	text := h.checkpoint(3, 1)
	c, err := OpenCheckpoint(text, h.signer.Key())
	if want := (Checkpoint{shop, 3, h.signer0(3), 1}); err != nil || c != want {
		t.Errorf("%+v, %v", c, err)
	}
	if !strings.HasPrefix(text, "ropeway/shop/audit\n3\n") || !strings.Contains(text, "\n\n— ropeway/shop/audit ") {
		t.Errorf("it reads\n%s", text)
	}
	witness, err := signer(t, "example.net/witness", 3).Checkpoint(h.tree(3), 1)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(witness, "\n\n")
	if _, err := OpenCheckpoint(text+line, h.signer.Key()); err != nil {
		t.Errorf("with the signature of a witness: %v", err)
	}
	for name, bad := range map[string]string{
		"empty": "", "cut": text[:len(text)-1], "another size": strings.Replace(text, "\n3\n", "\n4\n", 1), "no signature": strings.SplitAfter(text, "\n\n")[0],
		"long": strings.Repeat("x", maxCheckpoint+1), "a control character": "\x00" + text,
	} {
		if _, err := OpenCheckpoint(bad, h.signer.Key()); !errors.Is(err, ErrCheckpoint) && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, size := range []string{"-1", "03", "3 ", "x", "99999999999999999999"} {
		if _, err := parseCheckpoint(shop + "\n" + size + "\n" + c.Root.String() + "\nfirst 0\n"); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("size %q: %v", size, err)
		}
	}
}

func (h *history) signer0(size int) (root [32]byte) { tree := h.tree(size); return tree.Root() }

func FuzzVerify(f *testing.F) {
	h := newHistory(f, 3)
	f.Add(h.export(0, 3), h.checkpoint(2, 0))
	f.Add(h.export(1, 3), h.checkpoint(2, 1))
	f.Fuzz(func(t *testing.T, text, kept string) {
		v, _, err := judged(Known{Key: h.signer.Key(), Checkpoint: kept}, text)
		if err != nil {
			if v != nil {
				t.Error("it is refused, and proven all the same")
			}
			return
		}
		if end := h.tree(int(v.Size)); end.Root().String() != v.Root { // nobody here can sign another history
			t.Errorf("a log that never was: %+v", v)
		}
	})
}
