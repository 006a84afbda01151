package agent

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"ropeway/internal/fabric"
	"ropeway/internal/key"
	"ropeway/internal/plan"
	"ropeway/internal/wireguard"
)

func TestWherePeersWereHeardOutlivesTheAgent(t *testing.T) {
	file := filepath.Join(t.TempDir(), endpointsName)
	site, other, known := key.PublicFromBytes([32]byte{1}), key.PublicFromBytes([32]byte{2}), key.PublicFromBytes([32]byte{3})
	device := func(name string, keys ...key.Public) plan.Device {
		d := plan.Device{Name: name, Peers: []*plan.Peer{{PublicKey: known, Endpoint: fabric.Endpoint{Host: "192.0.2.9", Port: 51820}}, {}}}
		for _, k := range keys {
			d.Peers = append(d.Peers, &plan.Peer{PublicKey: k})
		}
		return d
	}
	at := netip.MustParseAddrPort
	look := func(device string, k key.Public, where string) wireguard.Endpoints {
		return wireguard.Endpoints{device: {k: at(where), known: at("192.0.2.9:51820")}}
	}
	first := &endpoints{file: file}
	must(t, first.restore())
	want := []plan.Device{device("rwb1", site, other), device("rwb2", site)}
	must(t, first.note(want, nil))
	if _, err := os.Lstat(file); !os.IsNotExist(err) {
		t.Errorf("nothing is worth a file: %v", err)
	}
	must(t, first.note(want, look("rwb1", site, "203.0.113.1:4711")))
	must(t, first.note(want, look("rwb2", site, "[2001:db8::1]:4712")))
	must(t, first.note(want, look("rwb1", other, "203.0.113.2:1")))
	before, err := os.Stat(file)
	if err != nil || before.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", before, err)
	}
	must(t, first.note(want, look("rwb1", site, "203.0.113.1:4711")))
	if after, err := os.Stat(file); err != nil || !os.SameFile(before, after) {
		t.Errorf("written though nothing had changed: %v", err)
	}

	must(t, os.WriteFile(filepath.Join(filepath.Dir(file), ".endpoints.json.123"), nil, 0o600)) // of an agent that was killed
	second := &endpoints{file: file}
	must(t, second.restore())
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	expect := func(e *endpoints, device string, k key.Public, where string) {
		t.Helper()
		if got := e.recall(device, k); got.IsValid() != (where != "") || where != "" && got != at(where) {
			t.Errorf("%s: %v, want %q", device, got, where)
		}
	}
	expect(second, "rwb1", site, "203.0.113.1:4711")
	expect(second, "rwb2", site, "[2001:db8::1]:4712")
	expect(second, "rwb1", other, "203.0.113.2:1")
	expect(second, "rwb1", known, "")
	expect(second, "rwb3", site, "")

	must(t, second.note([]plan.Device{device("rwb1", site)}, nil)) // the others left the plan
	third := &endpoints{file: file}
	must(t, third.restore())
	expect(third, "rwb1", site, "203.0.113.1:4711")
	expect(third, "rwb1", other, "")
	expect(third, "rwb2", site, "")
}

// TestADamagedMemoryIsNone: whatever stands in the file, an agent begins, tells no address that cannot be a machine's, and writes the file anew.
func TestADamagedMemoryIsNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), endpointsName)
	site := key.PublicFromBytes([32]byte{1})
	entry := func(where string) string { return `{"rw0":{"` + site.String() + `":"` + where + `"}}` }
	for text, damaged := range map[string]bool{
		"": true, "{": true, "[]": true, entry("nowhere"): true, `{"rw0":{"short":"192.0.2.1:1"}}`: true, `{"rw0":null}`: false, entry(""): false,
		entry("192.0.2.1:0"): false, entry("0.0.0.0:1"): false, entry("[ff02::1]:1"): false, entry("[fe80::1%eth0]:1"): false, entry("[::ffff:0.0.0.0]:1"): false,
	} {
		must(t, os.WriteFile(file, []byte(text), 0o600))
		e := &endpoints{file: file}
		if err := e.restore(); (err != nil) != damaged {
			t.Errorf("%s: %v", text, err)
		}
		if got := e.recall("rw0", site); got.IsValid() {
			t.Errorf("%s: the peer was heard at %v", text, got)
		}
		want := []plan.Device{{Name: "rw0", Peers: []*plan.Peer{{PublicKey: site}}}}
		now := netip.MustParseAddrPort("192.0.2.1:1")
		must(t, e.note(want, wireguard.Endpoints{"rw0": {site: now}}))
		again := &endpoints{file: file}
		must(t, again.restore())
		if got := again.recall("rw0", site); got != now {
			t.Errorf("%s: afterwards %v", text, got)
		}
	}
}

// TestWhatIsNotKeptIsTriedAgain: a disk that is full now is not full for ever.
func TestWhatIsNotKeptIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	e := &endpoints{file: filepath.Join(dir, endpointsName)}
	site, now := key.PublicFromBytes([32]byte{1}), netip.MustParseAddrPort("192.0.2.1:1")
	want, heard := []plan.Device{{Name: "rw0", Peers: []*plan.Peer{{PublicKey: site}}}}, wireguard.Endpoints{"rw0": {site: now}}
	if err := e.note(want, heard); err == nil {
		t.Error("there is no directory, and no error")
	}
	if got := e.recall("rw0", site); got != now {
		t.Errorf("this agent knows %v", got)
	}
	must(t, os.Mkdir(dir, 0o700))
	must(t, e.note(want, heard))
	if _, err := os.Stat(e.file); err != nil {
		t.Error(err)
	}
}
