package plan

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Format numbers what a document can say. A field, or a word in one, that an agent of before would not know is a new format: it is left out where it is
// not used, so that a plan that does without it is, byte for byte, one of the format before.
const Format = 2

// ErrNewer is what a document is refused with that says what only a later version understands. Test with errors.Is.
var ErrNewer = errors.New("it is of a later version of Ropeway")

// FormatOf returns the lowest format that can say a plan: 2 with BGP, or where answers pass to flows that another gateway saw opened, else 1.
func FormatOf(g *Gateway) uint32 {
	if g.BGP != nil || len(g.Firewall.Answers) > 0 {
		return 2
	}
	return 1
}

// newer returns why a document cannot be read, where the reason is its age. It is asked of what was refused, and believes nothing else of it.
func newer(data []byte) error {
	var head struct {
		Format uint32 `json:"format"`
	}
	if json.Unmarshal(data, &head) == nil && head.Format > Format {
		return fmt.Errorf("read the plan: %w: its format is %d, and %d is the last that is understood here", ErrNewer, head.Format, Format)
	}
	return nil
}
