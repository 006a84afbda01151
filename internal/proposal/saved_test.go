package proposal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/proposal"
)

func saved() *proposal.Saved {
	return &proposal.Saved{Fabric: "shop", Name: "shop.yaml", Base: 7, Digest: proposal.Digest([]byte("{}")), File: []byte("kind: Fabric\n# é\x00\n")}
}

// What was saved comes back as it was, and nothing that was changed anywhere does.
func TestSaved(t *testing.T) {
	data, err := saved().Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := proposal.DecodeSaved(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(saved(), back); diff != "" || !proposal.IsSaved(data) {
		t.Errorf("it came back as another, or is not known again:\n%s", diff)
	}
	for i := range data {
		wrong := bytes.Clone(data)
		wrong[i] ^= 1
		if _, err := proposal.DecodeSaved(wrong); !errors.Is(err, proposal.ErrDamaged) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := proposal.DecodeSaved(data[:i]); !errors.Is(err, proposal.ErrDamaged) {
			t.Fatalf("cut after %d: %v", i, err)
		}
	}
	if _, err := proposal.DecodeSaved(append(bytes.Clone(data), '\n')); !errors.Is(err, proposal.ErrDamaged) {
		t.Errorf("something was added: %v", err)
	}
	if proposal.IsSaved([]byte("apiVersion: ropeway/v1\n")) {
		t.Error("a fabric file is taken for a saved plan")
	}
}

func FuzzDecodeSaved(f *testing.F) {
	data, err := saved().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := proposal.DecodeSaved(data)
		if err != nil {
			return
		}
		again, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := proposal.DecodeSaved(again); err != nil || cmp.Diff(s, back) != "" {
			t.Errorf("%+v does not come back: %v", s, err)
		}
	})
}
