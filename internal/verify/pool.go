package verify

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"unsafe"
)

// A listID names a list of prefixes in a pool. The empty list is 0.
type listID uint32

// A pool numbers prefixes and lists of prefixes, so that a list that a thousand gateways share is worked out once. A list is
// known by where it lies in memory, which costs nothing, and failing that by what it says.
type pool struct {
	prefixes   []netip.Prefix // by number
	numbers    map[prefixKey]int32
	lists      [][]int32 // by listID: numbers of prefixes, in the order of netip.Prefix.Compare, none twice
	byIdentity map[identity]listID
	byContent  map[uint64][]written
	byNumbers  map[uint64][]listID
	recent     [1 << 12]recent // lists met lately, by where they lie
	scratch    []int32
}

// A written list is one as the plan has it, the first of all that say the same.
type written struct {
	prefixes []netip.Prefix
	id       listID
}

// A recent list is one that was met lately: a thousand gateways name the same lists in the same order, and a map takes several times as
// long to say so.
type recent struct {
	identity
	id listID
}

type identity struct {
	first  *netip.Prefix
	length int
}

// A prefixKey is a prefix as plain numbers: hashing it is several times faster than hashing a netip.Prefix.
type prefixKey struct {
	high, low uint64
	bits      uint64
}

func newPool() *pool {
	return &pool{
		numbers:    map[prefixKey]int32{},
		lists:      [][]int32{nil},
		byIdentity: map[identity]listID{},
		byContent:  map[uint64][]written{},
		byNumbers:  map[uint64][]listID{},
	}
}

// list returns the number of a list, in any order and with repetitions; what is no prefix at all is left out.
func (p *pool) list(l []netip.Prefix) listID {
	if len(l) == 0 {
		return 0
	}
	where := identity{&l[0], len(l)}
	slot := &p.recent[(uintptr(unsafe.Pointer(where.first))/unsafe.Sizeof(l[0])*0x9e3779b1>>12)%uintptr(len(p.recent))]
	if slot.identity == where {
		return slot.id
	}
	id, known := p.byIdentity[where]
	if !known {
		id = p.intern(l)
		if len(l) > short {
			p.byIdentity[where] = id
		}
	}
	*slot = recent{where, id}
	return id
}

// short is how many prefixes a list may have that is read again rather than remembered by where it lies: about as many as can be read
// while a large map is asked.
const short = 32

// resolve returns the numbers of a list's prefixes in order. The result is good until the next call.
func (p *pool) resolve(l []netip.Prefix) []int32 {
	out := p.scratch[:0]
	ordered := true
	for i, prefix := range l {
		if !prefix.IsValid() {
			continue
		}
		out = append(out, p.number(prefix))
		ordered = ordered && (i == 0 || l[i-1].Compare(prefix) < 0)
	}
	if !ordered {
		slices.SortFunc(out, func(a, b int32) int { return p.prefixes[a].Compare(p.prefixes[b]) })
		out = slices.Compact(out)
	}
	p.scratch = out
	return out
}

// number returns the number of a prefix; bits of the host do not count.
func (p *pool) number(prefix netip.Prefix) int32 {
	key := keyOf(prefix)
	if n, known := p.numbers[key]; known {
		return n
	}
	if masked := prefix.Masked(); masked != prefix {
		return p.number(masked)
	}
	n := int32(len(p.prefixes))
	p.prefixes = append(p.prefixes, prefix)
	p.numbers[key] = n
	return n
}

func keyOf(p netip.Prefix) prefixKey {
	b := p.Addr().As16()
	length := uint64(p.Bits())
	if p.Addr().Is6() {
		length |= 1 << 16 // an IPv6 prefix is never an IPv4 one
	}
	return prefixKey{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), length}
}

// intern returns the number of a list by what it says.
func (p *pool) intern(l []netip.Prefix) listID {
	h := uint64(len(l))
	for _, prefix := range l {
		key := keyOf(prefix)
		h = scramble(scramble(h^key.high, key.low), key.bits)
	}
	for _, known := range p.byContent[h] {
		if slices.Equal(known.prefixes, l) {
			return known.id
		}
	}
	id := p.same(p.resolve(l))
	p.byContent[h] = append(p.byContent[h], written{l, id})
	return id
}

// same returns the list that consists of these prefixes, whatever order and repetitions a plan wrote them in.
func (p *pool) same(numbers []int32) listID {
	if len(numbers) == 0 {
		return 0
	}
	h := uint64(len(numbers))
	for _, n := range numbers {
		h = scramble(h, uint64(n))
	}
	for _, id := range p.byNumbers[h] {
		if slices.Equal(p.lists[id], numbers) {
			return id
		}
	}
	id := listID(len(p.lists))
	p.lists = append(p.lists, slices.Clone(numbers))
	p.byNumbers[h] = append(p.byNumbers[h], id)
	return id
}

// scramble mixes two numbers into one that depends on every bit of both.
func scramble(a, b uint64) uint64 {
	high, low := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd6e8feb86659fd93)
	return high ^ low
}

// text returns a list's prefixes.
func (p *pool) text(id listID) []netip.Prefix {
	out := make([]netip.Prefix, len(p.lists[id]))
	for i, n := range p.lists[id] {
		out[i] = p.prefixes[n]
	}
	return out
}

// has reports whether a list names exactly this prefix.
func (p *pool) has(id listID, prefix netip.Prefix) bool {
	_, found := slices.BinarySearchFunc(p.lists[id], prefix, func(n int32, want netip.Prefix) int {
		return p.prefixes[n].Compare(want)
	})
	return found
}

// longest returns the longest prefix of a list that holds an address.
func (p *pool) longest(id listID, a netip.Addr) (best netip.Prefix, found bool) {
	for _, n := range p.lists[id] {
		if q := p.prefixes[n]; q.Contains(a) && (!found || q.Bits() > best.Bits()) {
			best, found = q, true
		}
	}
	return best, found
}
