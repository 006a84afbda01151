package firewall

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// A State is what the kernel held of the table when Observe looked. It does not change.
type State struct {
	present  bool
	odd      bool // it holds what no table of ours ever does: flags, maps, other objects
	sets     map[string]*set
	counters map[string]bool
	chains   map[string]*heldChain
	settled  [sha256.Size]byte // the digest of a ruleset known to be held exactly
}

// A heldChain is a chain as the kernel tells it.
type heldChain struct {
	hook  *hook
	rules []heldRule
}

// A heldRule is a rule as the kernel tells it: the list of its expressions, and what was noted with it.
type heldRule struct{ expressions, userdata []byte }

// Present reports whether there is a table.
func (s *State) Present() bool { return s.present }

// A reader reads a table into a State.
type reader struct {
	socket *socket
	state  *State
	known  map[string]*set // sets whose elements need not be read
}

// read reads the table. Of the sets in known, which nobody has touched, it takes the elements as given. It reports whether any
// table changed while the lists of chains, rules, counters and sets were read: the kernel finds its place in such a list by
// counting, and in some of them it counts those of every table. Elements it counts within their set.
func read(ctx context.Context, s *socket, known map[string]*set) (state *State, changed bool, err error) {
	r := &reader{s, &State{sets: map[string]*set{}, counters: map[string]bool{}, chains: map[string]*heldChain{}}, known}
	_, err = s.get(ctx, unix.NFT_MSG_GETTABLE, false, r.table, text(unix.NFTA_TABLE_NAME, TableName))
	if errors.Is(err, unix.ENOENT) {
		return r.state, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read table %s: %w", TableName, err)
	}
	ours := text(1, TableName) // attribute 1 of every message names the table
	var found []*set
	for _, part := range []struct {
		what    string
		message uint16
		each    func([]byte)
	}{
		{"chains", unix.NFT_MSG_GETCHAIN, r.chain},
		{"rules", unix.NFT_MSG_GETRULE, r.rule},
		{"counters", unix.NFT_MSG_GETOBJ, r.object},
		{"sets", unix.NFT_MSG_GETSET, func(b []byte) { found = append(found, r.set(b)) }},
	} {
		each := func(body []byte) {
			if findText(body, 1) == TableName { // some kernels dump chains of every table
				part.each(body)
			}
		}
		c, err := s.get(ctx, part.message, true, each, ours)
		if err != nil {
			return nil, false, fmt.Errorf("read the %s of table %s: %w", part.what, TableName, err)
		}
		changed = changed || c
	}
	for _, set := range found {
		if err := r.elements(ctx, set); err != nil {
			return nil, false, fmt.Errorf("read set %s: %w", set.name, err)
		}
	}
	return r.state, changed, nil
}

func (r *reader) table(b []byte) {
	r.state.present = true
	if findUint(b, unix.NFTA_TABLE_FLAGS) != 0 { // dormant, or another process's own
		r.state.odd = true
	}
}

func (r *reader) chain(b []byte) {
	held := &heldChain{}
	if find(b, unix.NFTA_CHAIN_HOOK) != nil {
		held.hook = &hook{
			number:   uint32(findUint(b, unix.NFTA_CHAIN_HOOK, unix.NFTA_HOOK_HOOKNUM)),
			priority: int32(findUint(b, unix.NFTA_CHAIN_HOOK, unix.NFTA_HOOK_PRIORITY)),
			policy:   uint32(findUint(b, unix.NFTA_CHAIN_POLICY)),
			kind:     findText(b, unix.NFTA_CHAIN_TYPE),
		}
	}
	r.state.chains[findText(b, unix.NFTA_CHAIN_NAME)] = held
}

func (r *reader) rule(b []byte) {
	c := r.state.chains[findText(b, unix.NFTA_RULE_CHAIN)]
	if c == nil { // it came after the chains were read; the reader reads again
		r.state.odd = true
		return
	}
	c.rules = append(c.rules, heldRule{
		bytes.Clone(find(b, unix.NFTA_RULE_EXPRESSIONS)), bytes.Clone(find(b, unix.NFTA_RULE_USERDATA)),
	})
}

func (r *reader) object(b []byte) {
	if findUint(b, unix.NFTA_OBJ_TYPE) != objectCounter {
		r.state.odd = true
		return
	}
	r.state.counters[findText(b, unix.NFTA_OBJ_NAME)] = true
}

// set notes a set without its elements.
func (r *reader) set(b []byte) *set {
	s := &set{name: findText(b, unix.NFTA_SET_NAME)}
	code, size := uint32(findUint(b, unix.NFTA_SET_KEY_TYPE)), uint32(findUint(b, unix.NFTA_SET_KEY_LEN))
	for _, k := range []kind{names, ipv4, ipv6, ports, ends4, ends6} {
		if _, c, n := k.properties(); c == code && n == size && setFlags(k) == uint32(findUint(b, unix.NFTA_SET_FLAGS)) {
			s.kind = k
		}
	}
	r.state.sets[s.name] = s
	return s
}

// elements reads the elements of a set that is of a kind of ours.
func (r *reader) elements(ctx context.Context, s *set) error {
	if s.kind == foreign {
		return nil
	}
	if known := r.known[s.name]; known != nil && known.kind == s.kind {
		r.state.sets[s.name] = known
		return nil
	}
	var marks []mark // of intervals
	var keys [][]byte
	each := func(body []byte) {
		for _, element := range attrs(find(body, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			if !s.kind.interval() {
				keys = append(keys, bytes.Clone(find(element, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE)))
			} else if m, ok := readMark(element, s.kind.size()); ok {
				marks = append(marks, m)
			}
		}
	}
	_, err := r.socket.get(ctx, unix.NFT_MSG_GETSETELEM, true, each,
		text(unix.NFTA_SET_ELEM_LIST_TABLE, TableName), text(unix.NFTA_SET_ELEM_LIST_SET, s.name))
	if err != nil {
		return err
	}
	elements := singles(keys, s.kind)
	if s.kind.interval() {
		elements = pair(marks, s.kind)
	}
	r.state.sets[s.name] = newSet(s.name, s.kind, elements)
	return nil
}

// A mark is how the kernel keeps intervals: a key at which one begins, or the key after its end.
type mark struct {
	key [16]byte
	end bool
}

func readMark(element []byte, size int) (m mark, ok bool) {
	m.end = findUint(element, unix.NFTA_SET_ELEM_FLAGS)&unix.NFT_SET_ELEM_INTERVAL_END != 0
	key := find(element, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE)
	return m, copy(m.key[:], key) == size
}

// pair makes elements of the kernel's marks. Where one interval ends another may begin, so ends come first. An end without a
// beginning says nothing: nft writes one at 0.
func pair(marks []mark, k kind) spans {
	size := k.size()
	out := spans{size: size, keys: make([]byte, 0, size*(len(marks)+1))}
	slices.SortFunc(marks, func(a, b mark) int {
		if c := bytes.Compare(a.key[:size], b.key[:size]); c != 0 || a.end == b.end {
			return c
		}
		if a.end {
			return -1
		}
		return 1
	})
	last := bytes.Repeat([]byte{0xff}, size)
	open := false
	for i := range marks {
		key := marks[i].key[:size]
		switch {
		case !marks[i].end:
			out.add(span{key, last})
			open = true
		case open:
			copy(out.keys[len(out.keys)-size:], before(key))
			open = false
		}
	}
	return out
}

// with returns the state after its sets have become those given.
func (s *State) with(sets map[string]*set, settled [sha256.Size]byte) *State {
	next := *s
	next.sets = maps.Clone(s.sets)
	maps.Copy(next.sets, sets)
	next.settled = settled
	return &next
}
