package store

import (
	"log/slog"
	"sync/atomic"
	"testing"
)

// TestFarewell: that a member was removed is heard, whatever is logged, and nothing else is taken for it.
func TestFarewell(t *testing.T) {
	var removed atomic.Bool
	l := logger(slog.New(slog.DiscardHandler), &removed).Named("etcd")
	l.Warn("server error")
	if removed.Load() {
		t.Error("something else was taken for it")
	}
	if l.Warn(ofRemoval); !removed.Load() {
		t.Error("it was not heard")
	}
}
