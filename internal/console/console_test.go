package console_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/console"
	"ropeway/internal/diag"
)

var sgr = regexp.MustCompile(`\x1b\[[0-9]*m`)

func TestColourChangesNoText(t *testing.T) {
	style := console.StyleFor(console.Always, nil, func(string) string { return "1" })
	for _, p := range []diag.Problem{
		{Code: "RW1203", Severity: diag.Error, Subject: "place use1", Message: "overlaps", Hint: "shorten one", Position: diag.Position{File: "RW1203 f.yaml", Line: 3, Column: 7}},
		{Code: "RW6000", Severity: diag.Warning, Message: "message (with brackets)"},
		{Code: "RW6001", Message: "no hint"},
	} {
		coloured := style.Problem(p)
		if coloured == p.Error() {
			t.Errorf("%s has no colour", coloured)
		}
		if plain := sgr.ReplaceAllString(coloured, ""); plain != p.Error() {
			t.Errorf("coloured %q, plain %q", plain, p.Error())
		}
	}
	for _, line := range []string{"+ a", "    ~ b", "- c", "plain", ""} {
		if plain := sgr.ReplaceAllString(style.Diff(line), ""); plain != line {
			t.Errorf("%q became %q", line, plain)
		}
	}
}

func TestNoColourIntoAPipe(t *testing.T) {
	var b strings.Builder
	style := console.StyleFor(console.Auto, &b, func(string) string { return "" })
	if got := style.Red("x"); got != "x" {
		t.Errorf("%q", got)
	}
}

func TestTable(t *testing.T) {
	table := &console.Table{
		Columns: []console.Column{{Title: "NAME"}, {Title: "MTU", Right: true}, {Title: "ZONE", Wide: true}, {Title: "WAY"}},
		Rows:    [][]string{{"use1-a", "1440", "a", "a → b"}, {"é", "68", "", ""}},
	}
	for wide, want := range map[bool]string{
		false: "NAME     MTU  WAY\nuse1-a  1440  a → b\né         68\n",
		true:  "NAME     MTU  ZONE  WAY\nuse1-a  1440  a     a → b\né         68\n",
	} {
		var b strings.Builder
		if err := table.Write(&b, console.Style{}, wide); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("wide %v, -want +got:\n%s", wide, diff)
		}
	}
}

func TestChoiceOffersItsFormatsOnly(t *testing.T) {
	c := console.Choose(console.Text, console.JSON)
	if err := c.Set("yaml"); err == nil || !strings.Contains(err.Error(), "text|json") {
		t.Errorf("%v", err)
	}
	if err := c.Set("json"); err != nil || c.Format != console.JSON {
		t.Errorf("%v, %v", c.Format, err)
	}
}

func TestEncodeYAMLHasTheNamesOfJSON(t *testing.T) {
	var b strings.Builder
	value := struct {
		From string `json:"from"`
		MTU  []int  `json:"mtu"`
	}{"site/hq: x", []int{1440}}
	if err := console.Encode(&b, console.YAML, value); err != nil {
		t.Fatal(err)
	}
	if want := "from: \"site/hq: x\"\nmtu:\n- 1440\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"plain é → text": "plain é → text",
		"a\x1b[31mb":     `a\x1b[31mb`,
		"a\nb\x00":       `a\nb\x00`,
		"a\u202eb":       `a\u202eb`,
		"a\u2028b":       `a\u2028b`,
	} {
		if got := console.Visible(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestEncodeHidesNothing(t *testing.T) {
	value := map[string]string{"a": "x\u202ey\x1b\x00\u2028\U000e0001"}
	for _, format := range []console.Format{console.JSON, console.YAML} {
		var b strings.Builder
		if err := console.Encode(&b, format, value); err != nil {
			t.Fatal(err)
		}
		want := "{\n  \"a\": \"x\\u202ey\\u001b\\u0000\\u2028\\udb40\\udc01\"\n}\n"
		if b.String() != want {
			t.Errorf("%s: %q, want %q", format, b.String(), want)
		}
		var back map[string]string
		if err := json.Unmarshal([]byte(b.String()), &back); err != nil || back["a"] != value["a"] {
			t.Errorf("%s: it reads back as %q, %v", format, back, err)
		}
	}
}

func TestEncodeYAMLHidesNoControlCharacter(t *testing.T) {
	var b strings.Builder
	if err := console.Encode(&b, console.YAML, map[string]string{"a": "x\x1b[31m", "b": "y\x00", "c": "z\u0085"}); err != nil {
		t.Fatal(err)
	}
	if got := console.Visible(strings.ReplaceAll(b.String(), "\n", " ")); got != strings.ReplaceAll(b.String(), "\n", " ") {
		t.Errorf("raw: %q", b.String())
	}
}
