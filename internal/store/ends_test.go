package store_test

import (
	"testing"
	"time"
)

func TestEnds(t *testing.T) {
	s := alone(t)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, end := range []time.Time{at, at.Add(time.Hour)} { // the newest counts
		if err := s.NoteEnd(t.Context(), "gateway/a", end); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.NoteEnd(t.Context(), "gateway/a\n", at); err == nil {
		t.Error("a name that is none was taken")
	}
	ends, err := s.Ends(t.Context())
	if err != nil || len(ends) != 1 || !ends["gateway/a"].Equal(at.Add(time.Hour)) {
		t.Errorf("%v, %v", ends, err)
	}
}
