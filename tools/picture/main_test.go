package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestDraw(t *testing.T) {
	out := draw("\x1b[1m$ ropeway\x1b[0m <a> & \"b\"\n   \x1b[32mok\x1b[0m  → 1")
	for _, want := range []string{
		`font-weight="bold" textLength="70.47">$ ropeway</text>`,
		`&lt;a&gt; &amp; &#34;b&#34;</text>`,
		`<text x="41.49" y="61" fill="#6fdd8b" textLength="15.66">ok</text>`,
		`→ 1</text>`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is missing in\n%s", want, out)
		}
	}
	dec := xml.NewDecoder(strings.NewReader(out))
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
