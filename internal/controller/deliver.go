package controller

import (
	"sync"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// An outbox holds, for every gateway, the newest grant and nothing else: whoever is slow skips what was overtaken, and a thousand watchers of
// one change share its bytes.
type outbox struct {
	mu    sync.Mutex
	slots map[string]*slot
}

// A slot is one gateway's place in the outbox.
type slot struct {
	parcel   *parcel // nil: nothing for it yet
	changed  chan struct{}
	watchers int
}

// A parcel is a grant that is signed when the first one asks for it. Most are asked for at once; those of gateways that are away cost nothing.
type parcel struct {
	epoch uint64
	wrap  func() (*ropewayv1.SignedGrant, error)
}

func newParcel(epoch uint64, wrap func() (*ropewayv1.SignedGrant, error)) *parcel {
	return &parcel{epoch, sync.OnceValues(wrap)}
}

func newOutbox() *outbox { return &outbox{slots: map[string]*slot{}} }

func (o *outbox) slot(gateway string) *slot {
	s := o.slots[gateway]
	if s == nil {
		s = &slot{changed: make(chan struct{})}
		o.slots[gateway] = s
	}
	return s
}

// put replaces what gateways find, and wakes those who wait for it. A nil parcel takes away what there was.
func (o *outbox) put(parcels map[string]*parcel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for gateway, p := range parcels {
		s := o.slot(gateway)
		s.parcel = p
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// look returns what there is for a gateway, nil for nothing, and a channel that is closed when that changes.
func (o *outbox) look(gateway string) (*parcel, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.slot(gateway)
	return s.parcel, s.changed
}

// attend counts a watcher of a gateway until leave is called.
func (o *outbox) attend(gateway string) (leave func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.slot(gateway).watchers++
	return sync.OnceFunc(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.slot(gateway).watchers--
	})
}

// connected reports whether a gateway watches.
func (o *outbox) connected(gateway string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.slots[gateway]
	return s != nil && s.watchers > 0
}
