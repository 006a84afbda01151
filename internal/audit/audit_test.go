package audit

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/stories"
)

var update = flag.Bool("update", false, "write what the stories expect")

// entry is one of many, with every field now and then.
func entry(i int) Entry {
	e := Entry{At: 1_800_000_000_000 + int64(i)*1000, Who: "operator/ann", What: "fabric.apply", Object: fmt.Sprintf("revision/%d", i+1), Revision: uint64(i + 1), From: "192.0.2.7", Outcome: Done}
	switch i % 4 {
	case 1:
		e.Outcome, e.Code, e.Detail, e.Revision = Refused, "RW7003", `the proof fails: ["tests"] \`, 0
	case 2:
		e.Who, e.From, e.What, e.Object = Controller, "", "token.create", "token/6a1d663b"
	case 3:
		e.Revision = 1<<64 - 1
		e.What, e.Override, e.Detail = "fabric.override", []string{"RW3010", "tests"}, "Übung für später"
		e.Until, e.Count = e.At+5000, 17
	}
	return e
}

// How entries are written, as leaves and as events of OCSF: for good.
func TestStories(t *testing.T) {
	stories.Each(t, "testdata/*.txtar", *update, func(t *testing.T, s *stories.Story) {
		var leaves, lines strings.Builder
		for i := range 4 {
			leaf, err := Encode(entry(i))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&leaves, "%s\n", leaf)
			fmt.Fprintf(&lines, "%s\n", Line("ropeway/shop/audit", int64(i), entry(i)))
		}
		s.Want(t, "leaves", leaves.String())
		s.Want(t, "lines", lines.String())
	})
}

func TestBackAndForth(t *testing.T) {
	for i := range 40 {
		e := entry(i)
		leaf, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(leaf)
		if diff := cmp.Diff(e, again); err != nil || diff != "" {
			t.Errorf("leaf: %v\n%s", err, diff)
		}
		position, again, err := ParseLine("log", Line("log", int64(i), e))
		if diff := cmp.Diff(e, again); err != nil || diff != "" || position != int64(i) {
			t.Errorf("line %d: %v\n%s", position, err, diff)
		}
		if _, _, err := ParseLine("another", Line("log", int64(i), e)); !errors.Is(err, ErrFormat) {
			t.Errorf("a line of another log: %v", err)
		}
	}
}

// Whatever people and programs put into an entry, it can be encoded afterwards, says nothing twice, and prints.
func TestTidy(t *testing.T) {
	canary := "rwt1.Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2E.cGlucGlucGlucGlucGlucGlucGlucGlucGlucGlucGk"
	for _, text := range []string{
		"", "plain", "two\nlines\x00\x1b[31m", "\u202egnp", "\xff\xfe", strings.Repeat("x", 5000), strings.Repeat("\u202e", 5000), strings.Repeat("ä", 1000),
		"I pasted " + canary + " here", canary, `"quotes" and \ backslashes`, "\ufffd",
	} {
		e := Tidy(Entry{At: 1, Who: text, What: "x", Object: text, Outcome: Done, Detail: text, Override: []string{text, "", text}})
		leaf, err := Encode(e)
		if err != nil {
			t.Errorf("%.40q: %v", text, err)
			continue
		}
		if strings.Contains(string(leaf), "canary") || strings.Contains(string(leaf), "Y2FuYXJ5") || !utf8.Valid(leaf) || strings.ContainsAny(string(leaf), "\n\x00\x1b\u202e") {
			t.Errorf("%.40q became %s", text, leaf)
		}
		if diff := cmp.Diff(e, Tidy(e)); diff != "" {
			t.Errorf("%.40q: tidied twice: %s", text, diff)
		}
	}
	many := Tidy(Entry{At: 1, What: "x", Outcome: Done, Override: strings.Fields(strings.Repeat("RW3010 ", 100))})
	if _, err := Encode(many); err != nil || len(many.Override) != maxOverrides || many.Override[maxOverrides-1] != "and 69 more" {
		t.Errorf("%v, %v", many.Override, err)
	}
	longest := Tidy(Entry{At: 1, Until: 1, Count: 1, What: "x", Who: strings.Repeat(`\`, 999), Object: strings.Repeat(`\`, 999), Outcome: Refused, Detail: strings.Repeat(`\`, 9999)})
	for range maxOverrides {
		longest.Override = append(longest.Override, strings.Repeat(`\`, maxCode))
	}
	leaf, err := Encode(longest)
	if err != nil || len(leaf) > MaxEntry {
		t.Errorf("the longest entry has %d bytes: %v", len(leaf), err)
	}
	if line := Line("log", 1<<62, longest); len(line) > maxLine {
		t.Errorf("the longest line has %d bytes", len(line))
	}
}

func TestWhatIsNoEntry(t *testing.T) {
	good := entry(0)
	for name, spoil := range map[string]func(*Entry){
		"no time": func(e *Entry) { e.At = 0 }, "a negative count": func(e *Entry) { e.Count = -1 }, "a count without an end": func(e *Entry) { e.Count = 2 },
		"nobody did it": func(e *Entry) { e.Who = "" }, "no action": func(e *Entry) { e.What = "" }, "an action with a space": func(e *Entry) { e.What = "a b" },
		"no outcome": func(e *Entry) { e.Outcome = "" }, "another outcome": func(e *Entry) { e.Outcome = "maybe" }, "a line break": func(e *Entry) { e.Detail = "a\nb" },
		"no UTF-8": func(e *Entry) { e.Object = "\xff" }, "a right-to-left override": func(e *Entry) { e.Who = "\u202e" }, "a long code": func(e *Entry) { e.Code = "RW12345" },
		"no address": func(e *Entry) { e.From = "example.net" }, "an address with a zone": func(e *Entry) { e.From = "fe80::1%eth0" }, "another spelling": func(e *Entry) { e.From = "::ffff:192.0.2.1%x" },
		"an empty override": func(e *Entry) { e.Override = []string{""} },
	} {
		e := good
		spoil(&e)
		if leaf, err := Encode(e); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %s, %v", name, leaf, err)
		}
	}
	leaf := string(encode(good))
	for name, text := range map[string]string{
		"nothing": "", "no JSON": "x", "no object": "[]", "null": "null", "two": leaf + leaf, "a space": " " + leaf, "an end": leaf + "\n",
		"twice the same": strings.Replace(leaf, `"v":1,`, `"v":1,"v":1,`, 1), "unknown": strings.Replace(leaf, `"v":1,`, `"v":1,"x":1,`, 1),
		"another version": strings.Replace(leaf, `"v":1`, `"v":2`, 1), "another case": strings.Replace(leaf, `"who"`, `"Who"`, 1),
		"an empty field": strings.Replace(leaf, `"v":1,`, `"v":1,"code":"",`, 1), "another escape": strings.Replace(leaf, "ann", `\u0061nn`, 1),
	} {
		if e, err := Decode([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for i := range 4 {
		f.Add(encode(entry(i)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Decode(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%v", err)
			}
			return
		}
		if again, err := Encode(e); err != nil || string(again) != string(data) {
			t.Errorf("%s is also written %s, %v", data, again, err)
		}
		if diff := cmp.Diff(Tidy(e), e); diff != "" {
			t.Errorf("%s is not tidy: %s", data, diff)
		}
	})
}

func FuzzParseLine(f *testing.F) {
	for i := range 4 {
		f.Add(Line("log", int64(i), entry(i)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		position, e, err := ParseLine("log", data)
		if err == nil && string(Line("log", position, e)) != string(data) {
			t.Errorf("%s is also written otherwise", data)
		}
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%v", err)
		}
	})
}

func FuzzTidy(f *testing.F) {
	f.Add("rwt1.abc.def\n\u202e\xff", uint16(3))
	f.Fuzz(func(t *testing.T, text string, cut uint16) {
		e := Tidy(Entry{At: 1, Who: text, What: "x", Object: text[:min(len(text), int(cut))], Outcome: Done, Detail: text})
		if _, err := Encode(e); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// chance is the same every time.
func chance(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
