package controller

import (
	"sync"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// An outbox holds, for every gateway, the newest grant and nothing else: whoever is slow skips what was overtaken, and a change wakes those whom
// it concerns and nobody else.
type outbox struct {
	changed func() // told whenever one connects who was not, or goes; it must not block

	mu    sync.Mutex
	slots map[string]*slot
}

// A slot is one gateway's place in the outbox.
type slot struct {
	parcel   *parcel // nil: nothing for it yet
	watchers []watcher
}

// A watcher is told that there may be something for its gateway. It must not block, and looks for itself.
type watcher interface{ wake() }

// A parcel is a grant that is signed when the first one asks for it, and kept until it was handed over: those of gateways that are away cost
// nothing, and neither do those that everybody has. Whoever comes later has it signed again, which gives the same bytes.
type parcel struct {
	epoch  uint64
	format uint32 // of the plan: a gateway that does not understand it is not sent it
	sign   func() (*ropewayv1.SignedGrant, error)

	mu      sync.Mutex
	signed  *ropewayv1.SignedGrant
	message []byte // the same, as it goes over a line
}

func newParcel(epoch uint64, format uint32, sign func() (*ropewayv1.SignedGrant, error)) *parcel {
	return &parcel{epoch: epoch, format: format, sign: sign}
}

// wrap returns the signed grant, which nobody changes.
func (p *parcel) wrap() (*ropewayv1.SignedGrant, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrapped()
}

// wrapped is wrap. The lock must be held.
func (p *parcel) wrapped() (*ropewayv1.SignedGrant, error) {
	if p.signed != nil {
		return p.signed, nil
	}
	signed, err := p.sign()
	p.signed = signed
	return signed, err
}

// encode returns the message that a line sends, which nobody changes.
func (p *parcel) encode() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.message != nil {
		return p.message, nil
	}
	signed, err := p.wrapped()
	if err != nil {
		return nil, err
	}
	p.message = watchMessage(&ropewayv1.WatchResponse{Grant: signed})
	return p.message, nil
}

// delivered lets go of the bytes.
func (p *parcel) delivered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signed, p.message = nil, nil
}

func newOutbox() *outbox { return &outbox{changed: func() {}, slots: map[string]*slot{}} }

func (o *outbox) slot(gateway string) *slot {
	s := o.slots[gateway]
	if s == nil {
		s = &slot{}
		o.slots[gateway] = s
	}
	return s
}

// put replaces what gateways find, and wakes those who wait for it. A nil parcel takes away what there was.
func (o *outbox) put(parcels map[string]*parcel) {
	var concerned []watcher
	o.mu.Lock()
	for gateway, p := range parcels {
		s := o.slot(gateway)
		s.parcel = p
		concerned = append(concerned, s.watchers...)
	}
	o.mu.Unlock()
	for _, w := range concerned { // who looks at once does not find the outbox locked
		w.wake()
	}
}

func (s *slot) wake() {
	for _, w := range s.watchers {
		w.wake()
	}
}

// nudge wakes those who wait for something for a gateway, though there is nothing new: they look whether they may go on.
func (o *outbox) nudge(gateway string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.slots[gateway]; s != nil {
		s.wake()
	}
}

// look returns what there is for a gateway, nil for nothing.
func (o *outbox) look(gateway string) *parcel {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.slots[gateway]; s != nil {
		return s.parcel
	}
	return nil
}

// attend has a watcher woken until it leaves.
func (o *outbox) attend(gateway string, w watcher) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.slot(gateway)
	s.watchers = append(s.watchers, w)
	if len(s.watchers) == 1 {
		o.changed()
	}
}

// leave ends what attend began.
func (o *outbox) leave(gateway string, w watcher) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.slots[gateway]
	if s == nil {
		return
	}
	for i, x := range s.watchers {
		if x == w {
			s.watchers = append(s.watchers[:i:i], s.watchers[i+1:]...)
			if len(s.watchers) == 0 {
				o.changed()
			}
			break
		}
	}
	if len(s.watchers) == 0 && s.parcel == nil {
		delete(o.slots, gateway) // nobody's, of no fabric
	}
}

// connected reports whether a gateway watches.
func (o *outbox) connected(gateway string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.slots[gateway]
	return s != nil && len(s.watchers) > 0
}
