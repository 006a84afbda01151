// Package audit is the memory of who did what: entries, and a log of them that nobody can change unseen.
//
// An Entry says who did what, to which object, from where, and what came of it. It has one encoding, which is its leaf in a Merkle tree as
// that of RFC 6962 (golang.org/x/mod/sumdb/tlog). A Checkpoint is the size and the root of that tree, signed (…/sumdb/note, in the form of
// C2SP tlog-checkpoint). Who holds one checkpoint can tell of every later state of the log whether all that he saw is still in it, in its
// place, as it was; whoever holds the log, its database and its signing key cannot make him believe otherwise. That is why a checkpoint
// belongs where the controllers are not.
//
// Neither writing nor proving needs the hashes of the whole tree. A Tree is its right edge: the roots of the complete subtrees, one for each
// bit that is set in its size. Appending takes the edge and the leaf, and an export that begins in the middle, because what was before has
// been exported and removed, begins with the edge there. So the database holds entries and one small record, and nothing per node.
//
// An export is a line that says which log it is, with the checkpoint, and a line of JSON for each entry, with the attributes of OCSF
// (https://schema.ocsf.io, class 6003, API Activity) under which others expect them. A line is the one rendering of its entry and its
// position, and is compared byte by byte with it: no part of an export can be changed without Verify telling.
//
// Nothing here knows a clock, a file or a network. What it never holds is a secret: Tidy takes away whatever looks like an enrolment token,
// wherever somebody put it.
package audit

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"ropeway/internal/diag"
)

// An Outcome is what came of something.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"
	Refused Outcome = "refused" // nothing was changed
)

// Who did something where it was no member of the fabric.
const (
	Nobody     = "nobody"   // a caller without a certificate
	Controller = "ropewayd" // of its own accord
)

// An Entry is one thing that somebody did, or was refused.
type Entry struct {
	At       int64    // milliseconds since 1970-01-01T00:00:00Z, by the clock of the controller that wrote it; the order of the log does not depend on it
	Until    int64    // where one entry stands for several: when the last of them was, and how many they are
	Count    int64    // 0: it stands for itself
	Who      string   // an identity ("operator/ann"), Nobody or Controller
	What     string   // "fabric.apply", "token.create"
	Object   string   // to what: "gateway/use1-a", "token/6a1d663b"; may be empty
	From     string   // the IP address that it came from; empty where it came from nowhere
	Revision uint64   // of the fabric that it made; 0: none
	Outcome  Outcome  //
	Code     string   // of a refusal that has one: "RW7003"
	Override []string // codes of findings in spite of which it was done
	Detail   string   // in words: the reason that somebody gave, or why it was refused
}

// Bounds on an entry, in bytes. A fabric's name and an identity are far shorter; what is longer is cut.
const (
	maxName      = 255
	maxDetail    = 1000
	maxCode      = 64
	maxOverrides = 32
	MaxEntry     = 16 << 10 // of an encoded entry: all of the above, every character escaped
)

// ErrFormat is returned for what is no entry as this package writes it. Test with errors.Is.
var ErrFormat = errors.New("it is not an entry of an audit log")

var (
	validWhat = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)*$`)
	validCode = regexp.MustCompile(`^RW[0-9]{4}$`)               // package diag
	secret    = regexp.MustCompile(`rwt[0-9]+\.[A-Za-z0-9_.-]+`) // package token
)

// Tidy makes an entry one that can be encoded: text that people wrote is cut to its bounds, characters that do not print are written out, and
// what looks like a token is left out.
func Tidy(e Entry) Entry {
	e.Who, e.Object, e.Detail = tidy(e.Who, maxName), tidy(e.Object, maxName), tidy(e.Detail, maxDetail)
	if e.Who == "" {
		e.Who = Nobody
	}
	var override []string
	for _, code := range e.Override {
		if code = tidy(code, maxCode); code != "" {
			override = append(override, code)
		}
	}
	if n := len(override); n > maxOverrides {
		override = append(override[:maxOverrides-1:maxOverrides-1], fmt.Sprintf("and %d more", n-maxOverrides+1))
	}
	e.Override = override
	return e
}

func tidy(text string, limit int) string {
	text = secret.ReplaceAllString(text, "(a token)")
	var b strings.Builder
	for i, r := range text {
		part := string(r)
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			part = fmt.Sprintf(`\x%02x`, text[i])
		case !strconv.IsPrint(r):
			part = strings.Trim(strconv.QuoteRuneToASCII(r), "'")
		}
		if b.Len()+len(part) > limit-len("…") {
			return b.String() + "…"
		}
		b.WriteString(part)
	}
	return b.String()
}

// check refuses what Tidy would change, and what says nothing.
func (e Entry) check() error {
	for _, f := range []struct {
		name, text string
		limit      int
	}{{"who", e.Who, maxName}, {"what", e.What, maxName}, {"object", e.Object, maxName}, {"detail", e.Detail, maxDetail}} {
		if len(f.text) > f.limit || !printable(f.text) {
			return fmt.Errorf("%w: its %s is longer than %d bytes or does not print", ErrFormat, f.name, f.limit)
		}
	}
	for _, code := range e.Override {
		if code == "" || len(code) > maxCode || !printable(code) {
			return fmt.Errorf("%w: a code that it overrides is empty, too long or does not print", ErrFormat)
		}
	}
	if addr, err := netip.ParseAddr(e.From); e.From != "" && (err != nil || addr.String() != e.From || addr.Zone() != "") {
		return fmt.Errorf("%w: %s is no address", ErrFormat, diag.Quote(e.From))
	}
	switch {
	case e.At <= 0 || e.Until < 0 || e.Count < 0 || (e.Until == 0) != (e.Count == 0):
		return fmt.Errorf("%w: its time or count makes no sense", ErrFormat)
	case e.Who == "" || !validWhat.MatchString(e.What):
		return fmt.Errorf("%w: it does not say who did what", ErrFormat)
	case e.Outcome != Done && e.Outcome != Refused:
		return fmt.Errorf("%w: it does not say what came of it", ErrFormat)
	case len(e.Override) > maxOverrides || e.Code != "" && !validCode.MatchString(e.Code):
		return fmt.Errorf("%w: its codes are none", ErrFormat)
	}
	return nil
}

func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) })
}
