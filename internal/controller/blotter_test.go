package controller

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "ropeway/api/ropeway/v1"
	"ropeway/internal/audit"
)

func refused(who, what, from string) audit.Entry {
	return audit.Entry{Who: who, What: what, From: from, Outcome: audit.Refused, Code: "RW7008", Detail: "no"}
}

// However much strangers send, from however many addresses, a day has a bounded number of entries, and every call is in one of them.
func TestAFloodIsCounted(t *testing.T) {
	b, now := newBlotter(), time.Unix(1_800_000_000, 0)
	const calls = 200_000
	var written int
	var stoodFor int64
	take := func(end bool) {
		for _, e := range b.take(now, end) {
			if _, err := audit.Encode(audit.Tidy(e)); err != nil {
				t.Fatalf("%+v: %v", e, err)
			}
			written++
			stoodFor += max(e.Count, 1)
		}
	}
	for i := range calls {
		b.note(refused(audit.Nobody, fmt.Sprint("call.unknown", "abcdefghijklmnop"[i%16:i%16+1]), fmt.Sprint("192.0.2.", i%250)), now)
		now = now.Add(24 * time.Hour / calls)
		if i%50 == 0 {
			take(false)
		}
	}
	take(true)
	if stoodFor != calls {
		t.Errorf("%d calls, and entries for %d", calls, stoodFor)
	}
	if most := burst + 24*6 + (mostCounts+1)*24*6 + mostCounts + 1; written > most || written < burst {
		t.Errorf("%d entries in a day, %d is the most", written, most)
	}
	if len(b.accounts) > 1 {
		t.Errorf("%d accounts are kept for strangers", len(b.accounts))
	}
}

// Whoever is refused now and then is in the log at once, each time, however much others are.
func TestOneDoesNotHideAnother(t *testing.T) {
	b, now := newBlotter(), time.Unix(1_800_000_000, 0)
	for range 5000 {
		b.note(refused(audit.Nobody, "fabric.apply", "192.0.2.66"), now)
	}
	b.note(refused("viewer/eve", "fabric.apply", "192.0.2.7"), now)
	got := b.take(now, false)
	if len(got) != burst+1 || got[burst].Who != "viewer/eve" || got[burst].Count != 0 {
		t.Errorf("%d entries, the last %+v", len(got), got[len(got)-1])
	}
	if later := b.take(now.Add(countFor), false); len(later) != 1 || later[0].Count != 5000-burst || later[0].From != "192.0.2.66" || later[0].Detail != "no" {
		t.Errorf("what was counted: %+v", later)
	}
	if len(b.take(now.Add(24*time.Hour), false)) != 0 || len(b.accounts) != 0 {
		t.Errorf("%d accounts are kept for nothing", len(b.accounts))
	}
}

func TestACountSaysWhatItStandsFor(t *testing.T) {
	b, now := newBlotter(), time.Unix(1_800_000_000, 0)
	for i := range burst + 3 {
		b.note(refused("viewer/eve", "fabric.apply", fmt.Sprint("192.0.2.", i)), now.Add(time.Duration(i)*time.Second))
	}
	_ = b.take(now, false)
	all := b.take(now.Add(time.Hour), false)
	if len(all) != 1 || all[0].Count != 3 || all[0].Until-all[0].At != 2000 || all[0].From != "192.0.2.12" || all[0].Detail != "among others, the last: no" {
		t.Errorf("%+v", all)
	}
}

// A store that does not answer costs bounded memory, and what waits is not lost.
func TestWhatWaitsIsBounded(t *testing.T) {
	b, now := newBlotter(), time.Unix(1_800_000_000, 0)
	for i := range 3000 {
		b.note(refused(fmt.Sprint("gateway/g", i), "fabric.apply", ""), now)
		b.back(b.take(now, false))
	}
	var n int64
	for _, e := range b.take(now, true) {
		n += max(e.Count, 1)
	}
	if n != 3000 {
		t.Errorf("%d of 3000", n)
	}
}

// Every procedure has a name of its own in the audit log, one that an entry can bear.
func TestActions(t *testing.T) {
	names := map[string]string{}
	protoregistry.GlobalFiles.RangeFilesByPackage("ropeway.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				procedure := "/" + string(service.FullName()) + "/" + string(service.Methods().Get(j).Name())
				name := action(procedure)
				if names[name] != "" {
					t.Errorf("%s and %s are both %s", procedure, names[name], name)
				}
				names[name] = procedure
				if _, err := audit.Encode(audit.Entry{At: 1, Who: "x", What: name, Outcome: audit.Done}); err != nil || !known(procedure) {
					t.Errorf("%s: %v", procedure, err)
				}
			}
		}
		return true
	})
	if names["fabric.apply"] == "" || names["fabric.list-gateways"] == "" || len(names) < 12 {
		t.Errorf("%v", names)
	}
	for _, path := range []string{"", "/", "/x", "/ropeway.v1.FabricService/Destroy", "/ropeway.v1.FabricService/Apply/"} {
		if known(path) {
			t.Errorf("%q is known", path)
		}
	}
	for remote, want := range map[string]string{"192.0.2.7:1": "192.0.2.7", "[::ffff:192.0.2.7]:1": "192.0.2.7", "[fe80::1%eth0]:1": "fe80::1", "": "", "@": "", "pipe:1": ""} {
		if got := address(remote); got != want {
			t.Errorf("%q is %q", remote, got)
		}
	}
}
