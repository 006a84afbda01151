package firewall

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"ropeway/internal/prefixes"
)

// FuzzMessages reads whatever comes from a socket: it ends, stays within the datagram and yields no message that is cut.
func FuzzMessages(f *testing.F) {
	t := &batch{}
	t.newSet(newSet("own4", ipv4, prefixSpans(pfx("10.0.0.0/8"), ipv4)), 1)
	t.elements(unix.NFT_MSG_NEWSETELEM, 0, newSet("own4", ipv4, spans{}), prefixSpans(pfx("10.0.0.0/8", "255.0.0.0/8"), ipv4))
	f.Add(t.seal(1))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Add([]byte{16, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		total := 0
		for m, err := range messages(data) {
			if err != nil {
				break
			}
			total += unix.SizeofNlMsghdr + len(m.body)
			_ = m.aboutTable()
			_ = m.errno()
			r := &reader{state: &State{sets: map[string]*set{}, counters: map[string]bool{}, chains: map[string]*heldChain{}}}
			r.table(m.attrs)
			r.chain(m.attrs)
			r.rule(m.attrs)
			r.object(m.attrs)
			s := r.set(m.attrs)
			for _, element := range attrs(find(m.attrs, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
				_, _ = readMark(element, s.kind.size())
			}
			_ = Diff(r.state, Compile(gateway()))
		}
		if total > len(data) {
			t.Errorf("%d bytes of messages out of %d", total, len(data))
		}
	})
}

// FuzzElements encodes lists of prefixes as elements and reads them back as the kernel would tell them.
func FuzzElements(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0}, false)
	f.Add([]byte{255, 255, 255, 255, 32, 10, 0, 0, 0, 24, 10, 0, 1, 0, 24}, false)
	f.Add(append(bytes.Repeat([]byte{255}, 16), 128), true)
	f.Fuzz(func(t *testing.T, data []byte, v6 bool) {
		k, size := ipv4, 4
		if v6 {
			k, size = ipv6, 16
		}
		var list []netip.Prefix
		for ; len(data) > size; data = data[size+1:] {
			a, _ := netip.AddrFromSlice(data[:size])
			if !a.Is4In6() {
				list = append(list, netip.PrefixFrom(a, int(data[size])%(8*size+1)).Masked())
			}
		}
		want := prefixSpans(list, k)
		normal := prefixes.Normal(list)
		if want.len() != len(normal) || !want.apart() {
			t.Fatalf("%v became %d elements, want %d apart", list, want.len(), len(normal))
		}
		var encoded []byte
		for i := range want.len() {
			if got := want.at(i).text(k); got != normal[i].String() && got != normal[i].Addr().String() {
				t.Errorf("%s is written as %s", normal[i], got)
			}
			encoded = appendSpan(encoded, want.at(i), k)
		}
		var marks []mark
		for _, element := range attrs(encoded) {
			m, ok := readMark(element, size)
			if !ok {
				t.Fatalf("an element without a key in % x", element)
			}
			marks = append([]mark{m}, marks...) // the kernel keeps no order of ours
		}
		if got := pair(marks, k); !bytes.Equal(got.keys, want.keys) {
			t.Errorf("%v came back as % x, want % x", list, got.keys, want.keys)
		}
	})
}

// FuzzDelta compares the difference of two lists of ports with what sets say of each port.
func FuzzDelta(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, []byte{1, 2, 5, 6})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		have, want := portList(a), portList(b)
		add, del := delta(have, want)
		got := map[string]bool{}
		for i := range have.len() {
			got[have.at(i).text(ports)] = true
		}
		for i := range del.len() {
			if e := del.at(i).text(ports); !got[e] {
				t.Errorf("takes %s, which is not there", e)
			}
			delete(got, del.at(i).text(ports))
		}
		for i := range add.len() {
			if e := add.at(i).text(ports); got[e] {
				t.Errorf("adds %s, which is there", e)
			}
			got[add.at(i).text(ports)] = true
		}
		for i := range want.len() {
			if e := want.at(i).text(ports); !got[e] {
				t.Errorf("%s is missing", e)
			}
		}
		if len(got) != want.len() {
			t.Errorf("%d elements, want %d", len(got), want.len())
		}
	})
}

// portList makes an ordered list out of any bytes: each two are how far on an element begins, and how long it is.
func portList(b []byte) spans {
	var ranges []portRange
	at := 0
	for ; len(b) > 1; b = b[2:] {
		at += 1 + int(b[0])
		end := at + int(b[1])
		if end > 65535 {
			break
		}
		ranges = append(ranges, portRange{uint16(at), uint16(end)})
		at = end
	}
	return portSpans(ranges)
}

func TestAttrsOfAnyLength(t *testing.T) {
	for size := range 12 {
		b := make([]byte, size)
		if size >= 2 {
			binary.NativeEndian.PutUint16(b, uint16(size))
		}
		for _, data := range attrs(b) {
			if len(data) != size-4 {
				t.Errorf("of %d bytes %d are data", size, len(data))
			}
		}
	}
}
