package intent_test

import (
	"flag"
	"regexp"
	"strings"
	"testing"

	"ropeway/internal/diag"
	"ropeway/internal/intent"
	"ropeway/internal/stories"
)

var update = flag.Bool("update", false, "write what the stories of testdata/bad report")

// TestStories reads the fabric file of every story and compares what is reported with what the story says.
func TestStories(t *testing.T) {
	told := map[diag.Code]bool{}
	stories.Each(t, "testdata/bad/*.txtar", *update, func(t *testing.T, story *stories.Story) {
		in, problems := intent.Read("fabric.yaml", unescape(story.Files[0].Data))
		if (in == nil) != problems.Failed() {
			t.Errorf("fabric %v with problems %v", in, problems)
		}
		for _, p := range problems {
			told[p.Code] = true
			if p.Hint == "" && p.Code != "RW1007" || p.Position.Line == 0 {
				t.Errorf("no hint or no place: %v", p)
			}
		}
		story.Want(t, "want", problems.Error()+"\n")
	})
	for _, e := range diag.Catalog() {
		if strings.HasPrefix(string(e.Code), "RW1") && !told[e.Code] && e.Code != "RW1002" {
			t.Errorf("no story ends in %s", e.Code)
		}
	}
}

// unescape puts bytes into a story that a text file cannot show: ⟨1B⟩ stands for the byte 0x1b.
func unescape(data []byte) []byte {
	return regexp.MustCompile(`⟨([0-9A-F]{2})⟩`).ReplaceAllFunc(data, func(m []byte) []byte {
		const digits = "0123456789ABCDEF"
		hex := strings.TrimSuffix(strings.TrimPrefix(string(m), "⟨"), "⟩")
		return []byte{byte(strings.IndexByte(digits, hex[0])<<4 | strings.IndexByte(digits, hex[1]))}
	})
}
