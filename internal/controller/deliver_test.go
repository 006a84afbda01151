package controller

import (
	"testing"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// Whoever is slow finds the newest parcel, and what a thousand ask for is made once.
func TestTheNewestParcel(t *testing.T) {
	o := newOutbox()
	if p, _ := o.look("gw1"); p != nil {
		t.Fatal("something lies there for nobody")
	}
	wraps := 0
	made := func(epoch uint64) *parcel {
		return newParcel(epoch, func() (*ropewayv1.SignedGrant, error) { wraps++; return &ropewayv1.SignedGrant{}, nil })
	}
	_, changed := o.look("gw1")
	_, others := o.look("gw2")
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
		p, _ := o.look("gw1")
		if _, err := p.wrap(); err != nil || p.epoch != 100 {
			t.Fatalf("epoch %d, %v", p.epoch, err)
		}
	}
	if wraps != 1 {
		t.Errorf("wrapped %d times", wraps)
	}
	o.put(map[string]*parcel{"gw1": nil})
	if p, _ := o.look("gw1"); p != nil {
		t.Error("it lies there still")
	}
	leave := o.attend("gw1")
	if !o.connected("gw1") || o.connected("gw2") {
		t.Error("who is connected is not known")
	}
	leave()
	leave() // once is enough
	if o.connected("gw1") {
		t.Error("it left")
	}
}
