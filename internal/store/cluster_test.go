package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"ropeway/internal/store"
)

// cluster opens three stores that are members of one etcd on the loopback.
func cluster(t *testing.T) []*store.Store {
	t.Helper()
	var options []store.Options
	var initial []string
	for _, name := range []string{"a", "b", "c"} {
		url := "http://" + freePort(t)
		options = append(options, store.Options{Dir: filepath.Join(t.TempDir(), "etcd"), Name: name, PeerURL: url})
		initial = append(initial, name+"="+url)
	}
	stores := make([]*store.Store, len(options))
	var all sync.WaitGroup
	for i, o := range options {
		o.InitialCluster = strings.Join(initial, ",")
		all.Go(func() {
			s, err := store.Open(t.Context(), o)
			if err != nil {
				t.Error(err)
				return
			}
			stores[i] = s
		})
	}
	all.Wait()
	t.Cleanup(func() {
		for _, s := range stores {
			if s != nil {
				_ = s.Close()
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return stores
}

// Members whose leader is stopped go on, and what all of them were told fits one order of events.
func TestClusterLosesItsLeader(t *testing.T) {
	stores := cluster(t)
	leader := slices.IndexFunc(stores, store.Leads)
	if leader < 0 {
		t.Fatal("nobody leads")
	}
	stores[2], stores[leader] = stores[leader], stores[2]
	watch := stores[0].WatchNewest(t.Context(), 0)
	var h history
	var all sync.WaitGroup
	for client := range 6 {
		all.Go(func() {
			s, base := stores[client%len(stores)], uint64(0)
			for range 25 {
				var known bool
				if base, known = h.commit(t, client, s, base); !known {
					return // every commit in doubt doubles the orders that are to be tried
				}
				h.read(t, client, s)
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	if err := stores[2].Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
	last := h.newest(t, stores[1])
	if after := mustCommit(t, stores[0], last, change("admin/last")); after != last+1 {
		t.Errorf("%d came after %d", after, last)
	}
	for receive(t, watch) != last+1 {
	}
	if got := porcupine.CheckOperationsTimeout(model(), h.operations, 20*time.Second); got != porcupine.Ok {
		t.Errorf("is the history linearizable? %s", got)
	}
	unanswered(t, stores)
}

// unanswered asks a member that has lost both others.
func unanswered(t *testing.T, stores []*store.Store) {
	t.Helper()
	if err := stores[1].Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begun := time.Now()
	_, err := stores[0].Newest(ctx)
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 3*time.Second {
		t.Errorf("without a majority: %v after %v", err, time.Since(begun))
	}
}

// A history is what clients asked, and what they were told when.
type history struct {
	mu         sync.Mutex
	operations []porcupine.Operation
}

// An input asks for the newest number, or for a commit on a base.
type input struct {
	commit bool
	base   uint64
}

// An output is the newest number. Of a commit whose answer was lost nothing is known.
type output struct {
	number         uint64
	moved, unknown bool
}

func (h *history) note(client int, in input, out output, call time.Time) {
	ends := time.Now().UnixNano()
	if out.unknown {
		ends = 1 << 62 // it may happen at any time
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: call.UnixNano(), Return: ends})
}

func (h *history) commit(t *testing.T, client int, s *store.Store, base uint64) (newest uint64, known bool) {
	t.Helper()
	begun := time.Now()
	n, err := s.Commit(t.Context(), base, change(fmt.Sprint("admin/", client)))
	switch {
	case err == nil, errors.Is(err, store.ErrMoved):
		h.note(client, input{true, base}, output{number: n, moved: err != nil}, begun)
		return n, true
	case errors.Is(err, store.ErrUnavailable):
		h.note(client, input{true, base}, output{unknown: true}, begun)
	default:
		t.Error(err)
	}
	return base, false
}

func (h *history) read(t *testing.T, client int, s *store.Store) {
	t.Helper()
	begun := time.Now()
	r, err := s.Newest(t.Context())
	switch {
	case err == nil && r != nil:
		h.note(client, input{}, output{number: r.Number}, begun)
	case err != nil && !errors.Is(err, store.ErrUnavailable):
		t.Error(err)
	}
}

func (h *history) newest(t *testing.T, s *store.Store) uint64 {
	t.Helper()
	r, err := s.Newest(t.Context())
	if err != nil || r == nil {
		t.Fatal(r, err)
	}
	return r.Number
}

// model is a register that only grows, by one, for whoever knows it.
func model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return uint64(0) },
		Step: func(state, in, out any) (bool, any) {
			now, asked, told := state.(uint64), in.(input), out.(output)
			fits := asked.commit && asked.base == now
			switch {
			case told.unknown && fits:
				return true, now + 1 // also right where it never happened: then it stands at the end of the order
			case told.unknown:
				return true, now
			case fits && !told.moved:
				return told.number == now+1, now + 1
			case asked.commit && !fits:
				return told.moved && told.number == now, now
			}
			return !asked.commit && told.number == now, now
		},
	}
}
