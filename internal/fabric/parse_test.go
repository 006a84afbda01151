package fabric_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
)

func TestParseKeepsEveryWordAndItsPlace(t *testing.T) {
	f, problems := fabric.Parse("f.yaml", []byte(whole))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	at := func(line, column int) diag.Position { return diag.Position{File: "f.yaml", Line: line, Column: column} }
	use1 := f.Spec.Regions[0]
	got := []any{f.At, f.Spec.Topology.Hubs[0], f.Spec.Addressing.Devices, use1.At, use1.Name, use1.Underlay.MTU, use1.Gateways[0].NAT, f.Spec.Tests[0].To}
	want := []any{at(2, 1), fabric.Text{Value: "use1", At: at(6, 35)}, []fabric.Text{{Value: "10.200.0.0/16", At: at(8, 62)}}, at(10, 7),
		fabric.Text{Value: "use1", At: at(10, 13)}, fabric.Number{Value: 1500, At: at(12, 23)}, fabric.Flag{Value: false, At: at(14, 93)},
		fabric.Text{Value: "10.10.0.1:443/tcp", At: at(24, 31)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// IPv6 addresses need no quotes where YAML asks for none; some readers take them for keys and values.
func TestIPv6WithoutQuotes(t *testing.T) {
	text := strings.NewReplacer(
		"prefixes: [192.168.0.0/16]", "prefixes: [2001:db8::/32, fd00:1::/48]",
		"endpoint: 203.0.113.10", "endpoint: 2001:db8:ffff::1",
		"to: segment/prod", "to: fd00:1::5").Replace(whole)
	f, problems := fabric.Parse("f.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got := []string{f.Spec.Sites[0].Prefixes[0].Value, f.Spec.Sites[0].Prefixes[1].Value, f.Spec.Regions[0].Gateways[0].Endpoint.Value, f.Spec.Access[0].To.Value}
	if diff := cmp.Diff([]string{"2001:db8::/32", "fd00:1::/48", "2001:db8:ffff::1", "fd00:1::5"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestBoundsOfSizeAndDepth(t *testing.T) {
	for name, data := range map[string][]byte{
		"size":        bytes.Repeat([]byte("# comment\n"), fabric.MaxSize/10+1),
		"brackets":    []byte("a: " + strings.Repeat("[", 1<<20)),
		"braces":      []byte(strings.Repeat("{a: ", 1<<18)),
		"dashes":      []byte(strings.Repeat("- ", 1<<20)),
		"indentation": deepBlock(500),
	} {
		f, problems := fabric.Parse("f.yaml", data)
		if f != nil || len(problems) != 1 || problems[0].Code != "RW1002" {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func deepBlock(levels int) []byte {
	var b bytes.Buffer
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.Bytes()
}

// seeds adds the examples, the starter and the stories to the corpus of a fuzzer.
func seeds(f *testing.F) {
	f.Helper()
	f.Add([]byte(whole))
	f.Add(fabric.Starter())
	paths, err := filepath.Glob("../../examples/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	stories, err := filepath.Glob("../intent/testdata/bad/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range stories {
		story, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(story.Files[0].Data)
	}
}

// FuzzParse: no input panics; every problem has a place in the file; what is printed of hostile text is harmless.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, problems := fabric.Parse("f.yaml", data)
		if file == nil && !problems.Failed() {
			t.Fatal("neither a file nor an error")
		}
		lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) + bytes.Count(data, []byte("\u0085")) + bytes.Count(data, []byte("\u2028")) + bytes.Count(data, []byte("\u2029")) + 2
		for _, p := range problems {
			if p.Position.Line > lines || p.Position.Line == 0 && p.Code != "RW1002" {
				t.Errorf("a place that is not in the file: %v", p)
			}
			for _, r := range p.Error() {
				if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
					t.Errorf("U+%04X in %q", r, p.Error())
				}
			}
		}
	})
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"any", "region/use1", "segment/icmp", "10.0.0.0/8", "10.0.0.1", "10.0.0.1:80/tcp", "[2001:db8::1]:53/udp", "2001:db8::1/icmp", "[::1]/icmp"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sel, service, err := fabric.ParseTarget(s)
		if err != nil {
			return
		}
		named := sel.Name != "" && (sel.Segment != (sel.Kind != ""))
		if n := btoi(sel.Any) + btoi(named) + btoi(sel.Prefix.IsValid()); n != 1 {
			t.Errorf("%q is %d things at once: %+v", s, n, sel)
		}
		if service != nil && (!sel.Prefix.IsSingleIP() || service.Protocol != fabric.ICMP && service.First == 0) {
			t.Errorf("%q: service %v of %v", s, service, sel)
		}
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
