package audit

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"ropeway/internal/diag"
)

// Why an export is not believed; see docs/errors.md.
const (
	codeFormat  diag.Code = "RW7401"
	codeChanged diag.Code = "RW7402"
	codeOrder   diag.Code = "RW7403"
	codeLength  diag.Code = "RW7404"
	codeRoot    diag.Code = "RW7405"
	codeSigned  diag.Code = "RW7406"
	codeForked  diag.Code = "RW7407"
	codeBeyond  diag.Code = "RW7408"
	codeOther   diag.Code = "RW7409"
)

// Known is what somebody knows of a log from elsewhere than the export that he judges. The zero value is nothing.
type Known struct {
	Key        string // that signs its checkpoints
	Checkpoint string // a signed one that was kept
}

// A File is an export, or the next part of one.
type File struct {
	Name string // for messages
	io.Reader
}

// A Verdict is what was proven of an export.
type Verdict struct {
	Log   string `json:"log"`
	First int64  `json:"first"` // position of its first entry
	Size  int64  `json:"size"`  // of the log at the export's checkpoint
	Root  string `json:"root"`  // then
	Key   string `json:"key"`   // that signed it
	Kept  int64  `json:"kept"`  // size of the checkpoint that was kept elsewhere and agrees; -1 without one
	Known bool   `json:"known"` // the key or a checkpoint was known beforehand; without, the export only agrees with itself

	Checkpoint string `json:"checkpoint"` // the export's
}

// Verify proves that an export is the whole of a log from its first entry to its checkpoint, in its order and as it was written, and that
// the log at the checkpoint that was kept is what the export begins with. An export in several parts, each made when the log was trimmed, is given
// in order. The error is a diag.Problem with the file and line, or that of a reader.
func Verify(known Known, files ...File) (*Verdict, error) {
	if len(files) == 0 {
		return nil, errors.New("verify: there is no export")
	}
	j := &judge{known: known}
	for i, f := range files {
		if err := j.read(f, i == 0); err != nil {
			return nil, err
		}
	}
	return j.conclude()
}

// A judge follows an export.
type judge struct {
	known  Known
	kept   *Checkpoint // nil: none, or not opened yet
	agreed bool        // kept was met, and is so
	forked bool        // kept was met, and is not
	name   string      // of the file that is read
	line   int
	head   Header
	first  int64
	tree   Tree
}

func (j *judge) refuse(code diag.Code, message, hint string) error {
	return diag.Problem{Code: code, Severity: diag.Error, Subject: "audit log", Message: message, Hint: hint, Position: diag.Position{File: j.name, Line: j.line, Column: 1}}
}

// read takes one file in.
func (j *judge) read(f File, begins bool) error {
	in := &lines{r: bufio.NewReaderSize(f, maxLine)}
	j.name = f.Name
	text, err := in.next()
	j.line = in.number
	if err != nil {
		return j.unreadable(err)
	}
	h, err := parseHeader(text)
	if err != nil {
		return j.unreadable(err)
	}
	end, err := j.begin(h, begins)
	if err != nil {
		return err
	}
	for {
		text, err := in.next()
		j.line = in.number
		if errors.Is(err, io.EOF) {
			return j.end(end)
		}
		if err != nil {
			return j.unreadable(err)
		}
		if err := j.entry(text, end); err != nil {
			return err
		}
	}
}

func (j *judge) unreadable(err error) error {
	switch {
	case errors.Is(err, errCut):
		return j.refuse(codeLength, err.Error(), "the file was cut; export again")
	case errors.Is(err, io.EOF):
		err = errHeader
	case !errors.Is(err, errLong) && !errors.Is(err, errHeader) && !strings.HasPrefix(err.Error(), "the edge") && !strings.HasPrefix(err.Error(), "a tree"):
		return fmt.Errorf("read %s: %w", diag.Quote(j.name), err)
	}
	return j.refuse(codeFormat, err.Error(), "give it a file that ropeway audit export wrote, as it was written")
}

// begin opens the checkpoint of a part, and sees that the part follows what was read before.
func (j *judge) begin(h Header, begins bool) (Checkpoint, error) {
	key := cmp.Or(j.known.Key, h.Key)
	end, err := OpenCheckpoint(h.Checkpoint, key)
	switch {
	case h.Key != key:
		return end, j.refuse(codeSigned, "it names another key than the one that is known", "whoever wrote the file does not have the key of the log, or it is that of another log")
	case err != nil:
		return end, j.refuse(codeSigned, "its checkpoint: "+err.Error(), "whoever wrote the file does not have the key of the log, or it is that of another log")
	case end.Log != h.Log:
		return end, j.refuse(codeOther, "it is of log "+diag.Quote(h.Log)+", and its checkpoint of "+diag.Quote(end.Log), "")
	case h.First.Size != end.First:
		return end, j.refuse(codeOrder, fmt.Sprintf("it begins after %d entries, and at its checkpoint the log began after %d", h.First.Size, end.First), "entries were left out; export again")
	case begins:
		j.tree, j.first = h.First, h.First.Size
	case h.Log != j.head.Log || h.Key != j.head.Key:
		return end, j.refuse(codeOther, "it is of another log than the file before it", "give the parts of one log")
	case h.First.Size != j.tree.Size || h.First.Root() != j.tree.Root():
		return end, j.refuse(codeOrder, fmt.Sprintf("it begins after %d entries, and the file before it ends after %d others", h.First.Size, j.tree.Size), "give the parts in order, all of them")
	}
	if j.head = h; begins {
		if err := j.openKept(key); err != nil {
			return end, err
		}
	}
	j.compareKept()
	return end, nil
}

func (j *judge) openKept(key string) error {
	if j.known.Checkpoint == "" {
		return nil
	}
	kept, err := OpenCheckpoint(j.known.Checkpoint, key)
	switch {
	case errors.Is(err, ErrCheckpoint):
		return j.refuse(codeFormat, "the checkpoint that was kept: "+err.Error(), "give the file that ropeway audit checkpoint wrote")
	case err != nil:
		return j.refuse(codeSigned, "the checkpoint that was kept and this export are not signed by the same key", "one of them is not of this log, or is forged")
	case kept.Size < j.first:
		return j.refuse(codeBeyond, fmt.Sprintf("the checkpoint that was kept is of %d entries, and the export begins after %d", kept.Size, j.first), "give the export before it as well, first")
	}
	j.kept = &kept
	return nil
}

// compareKept holds the log against the checkpoint that was kept, where it has its size. What it finds is told once the part is whole: where the file
// itself was changed, that is what is wrong.
func (j *judge) compareKept() {
	if j.kept != nil && j.kept.Size == j.tree.Size {
		j.agreed = j.tree.Root() == j.kept.Root
		j.forked = !j.agreed
	}
}

// entry takes one line in.
func (j *judge) entry(text []byte, end Checkpoint) error {
	position, e, err := ParseLine(j.head.Log, text)
	switch {
	case err != nil:
		return j.refuse(codeChanged, err.Error(), "the line is not as it was exported")
	case j.tree.Size >= end.Size:
		return j.refuse(codeLength, fmt.Sprintf("there is more after the %d entries of its checkpoint", end.Size), "something was added to the file")
	case position != j.tree.Size:
		return j.refuse(codeOrder, fmt.Sprintf("entry %d stands where entry %d belongs", position, j.tree.Size), "entries were removed or put in another order")
	}
	j.tree.Append(encode(e))
	j.compareKept()
	return nil
}

// end holds what was read against the checkpoint of the part.
func (j *judge) end(end Checkpoint) error {
	if j.tree.Size != end.Size {
		return j.refuse(codeLength, fmt.Sprintf("it ends after %d entries, and its checkpoint is of %d", j.tree.Size, end.Size), "the file was cut")
	}
	if j.tree.Root() != end.Root {
		return j.refuse(codeRoot, fmt.Sprintf("its %d entries are not those of its checkpoint", end.Size), "an entry was rewritten in the file or in the store; compare with an older export")
	}
	if j.forked {
		return j.refuse(codeForked, fmt.Sprintf("the first %d entries are not those of the checkpoint that was kept", j.kept.Size), "the log was rewritten after that checkpoint, or this is a second log; find out who had the controllers' keys")
	}
	return nil
}

func (j *judge) conclude() (*Verdict, error) {
	if j.kept != nil && !j.agreed {
		return nil, j.refuse(codeBeyond, fmt.Sprintf("the checkpoint that was kept is of %d entries, and the export ends after %d", j.kept.Size, j.tree.Size), "export again; if the log is still shorter, entries were removed from it")
	}
	v := &Verdict{Log: j.head.Log, First: j.first, Size: j.tree.Size, Root: j.tree.Root().String(), Key: j.head.Key, Kept: -1, Known: j.known != Known{}, Checkpoint: j.head.Checkpoint}
	if j.kept != nil {
		v.Kept = j.kept.Size
	}
	return v, nil
}
