package controller

import (
	"testing"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// Whoever is slow finds the newest parcel, and what a thousand ask for is made once.
func TestTheNewestParcel(t *testing.T) {
	o := newOutbox()
	if p := o.look("gw1"); p != nil {
		t.Fatal("something lies there for nobody")
	}
	wraps := 0
	made := func(epoch uint64) *parcel {
		return newParcel(epoch, 1, func() (*ropewayv1.SignedGrant, error) { wraps++; return &ropewayv1.SignedGrant{}, nil })
	}
	changed, others := make(waiter, 1), make(waiter, 1)
	o.attend("gw1", changed)
	o.attend("gw2", others)
	for epoch := range uint64(100) {
		o.put(map[string]*parcel{"gw1": made(epoch + 1)})
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was woken")
	}
	select {
	case <-others:
		t.Error("somebody was woken for nothing")
	default:
	}
	for range 1000 {
		p := o.look("gw1")
		if _, err := p.wrap(); err != nil || p.epoch != 100 {
			t.Fatalf("epoch %d, %v", p.epoch, err)
		}
	}
	for range 1000 {
		if message, err := o.look("gw1").encode(); err != nil || len(message) == 0 {
			t.Fatalf("%q, %v", message, err)
		}
	}
	if wraps != 1 {
		t.Errorf("wrapped %d times", wraps)
	}
	p := o.look("gw1")
	p.delivered()
	if _, err := p.wrap(); err != nil || wraps != 2 {
		t.Errorf("whoever comes when all have it gets nothing: %v", err)
	}
	o.put(map[string]*parcel{"gw1": nil})
	if p := o.look("gw1"); p != nil {
		t.Error("it lies there still")
	}
	second := make(waiter, 1)
	o.attend("gw1", second)
	o.leave("gw1", changed)
	if !o.connected("gw1") || o.connected("gw3") {
		t.Error("who is connected is not known")
	}
	o.nudge("gw1")
	select {
	case <-second:
	default:
		t.Error("the one who stayed was not nudged")
	}
	o.leave("gw1", second)
	o.leave("gw1", second) // once is enough
	if o.connected("gw1") || len(o.slots) != 1 {
		t.Error("it left, and something is kept of it")
	}
}
