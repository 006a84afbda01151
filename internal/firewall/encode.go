package firewall

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// intervalsPerMessage keeps the list of elements in one message below the 64 KiB that a netlink attribute can hold: an IPv6
// interval takes 64 bytes, and 24 more where it is the last there can be.
const intervalsPerMessage = 900

// batches returns the transactions that carry out the change. The last one does all that packets notice. What is new is made
// before the rules that name it, and what is old deleted after the rules that named it.
//
// New sets that join a table have a transaction of their own before that, which nobody notices, since no rule names them yet. A
// kernel that looks elements up in an array (seen in Linux 6.18.44) publishes that of a set only after it has begun to use the
// rules of the same transaction: until then no packet would be in a new set, and what both tables let pass would be dropped.
func (c *Change) batches() []*batch {
	var out []*batch
	t := &batch{}
	if c.anew { // deleting what may not be there fails, so it is made first
		t.add(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, "make the table", u32(unix.NFTA_TABLE_FLAGS, 0))
		t.add(unix.NFT_MSG_DELTABLE, 0, "delete the table")
		t.add(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, "make the table", u32(unix.NFTA_TABLE_FLAGS, 0))
	}
	for i, s := range c.sets {
		t.newSet(s, uint32(i+1))
		t.elements(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE|unix.NLM_F_EXCL, s, s.spans)
	}
	if !c.anew && len(c.sets) > 0 {
		out, t = append(out, t), &batch{}
	}
	for _, name := range c.counters {
		t.add(unix.NFT_MSG_NEWOBJ, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "make counter "+name,
			text(unix.NFTA_OBJ_NAME, name), u32(unix.NFTA_OBJ_TYPE, objectCounter), nest(unix.NFTA_OBJ_DATA, []attr{}...))
	}
	for _, d := range c.deltas {
		t.elements(unix.NFT_MSG_DELSETELEM, 0, d.set, d.del)
		t.elements(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE|unix.NLM_F_EXCL, d.set, d.add)
	}
	for _, ch := range c.chains {
		t.newChain(ch)
	}
	for _, name := range c.old.chains {
		t.add(unix.NFT_MSG_DELRULE, 0, "empty chain "+name, text(unix.NFTA_RULE_CHAIN, name))
	}
	for _, r := range c.refill {
		t.refill(r)
	}
	c.deleteOld(t)
	return append(out, t)
}

func (c *Change) deleteOld(t *batch) {
	for _, name := range c.old.chains {
		t.add(unix.NFT_MSG_DELCHAIN, 0, "delete chain "+name, text(unix.NFTA_CHAIN_NAME, name))
	}
	for _, name := range c.old.sets {
		t.add(unix.NFT_MSG_DELSET, 0, "delete set "+name, text(unix.NFTA_SET_NAME, name))
	}
	for _, name := range c.old.counters {
		t.add(unix.NFT_MSG_DELOBJ, 0, "delete counter "+name,
			text(unix.NFTA_OBJ_NAME, name), u32(unix.NFTA_OBJ_TYPE, objectCounter))
	}
}

// setFlags are the flags of a set of that kind.
func setFlags(k kind) uint32 {
	if k.interval() {
		return unix.NFT_SET_INTERVAL
	}
	return 0
}

// newSet makes an empty set. The userdata tells nft in which byte order to print keys, as nft itself notes it.
func (t *batch) newSet(s *set, id uint32) {
	const udataKeyByteOrder, noOrder, hostOrder, networkOrder = 0, 0, 1, 2 // libnftnl/udata.h, nftables/datatype.h
	order := uint32(networkOrder)
	switch s.kind {
	case names:
		order = hostOrder
	case ends4, ends6: // its parts differ
		order = noOrder
	}
	_, code, size := s.kind.properties()
	udata := binary.NativeEndian.AppendUint32([]byte{udataKeyByteOrder, 4}, order)
	t.add(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "make set "+s.name,
		text(unix.NFTA_SET_NAME, s.name), u32(unix.NFTA_SET_FLAGS, setFlags(s.kind)),
		u32(unix.NFTA_SET_KEY_TYPE, code), u32(unix.NFTA_SET_KEY_LEN, size), u32(unix.NFTA_SET_ID, id), raw(attrSetUserdata, udata))
}

// elements adds elements to a set or deletes them. An interval never spreads over two messages: some kernels take a beginning
// at the end of a message for an interval without end.
func (t *batch) elements(message, flags uint16, s *set, elements spans) {
	what := "add elements to set " + s.name
	if message == unix.NFT_MSG_DELSETELEM {
		what = "delete elements of set " + s.name
	}
	for from := 0; from < elements.len(); from += intervalsPerMessage {
		t.begin(message, flags, what)
		t.buf = appendAttr(t.buf, text(unix.NFTA_SET_ELEM_LIST_SET, s.name))
		start := len(t.buf)
		t.buf = openAttr(t.buf, unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		for i := from; i < min(from+intervalsPerMessage, elements.len()); i++ {
			t.buf = appendSpan(t.buf, elements.at(i), s.kind)
		}
		t.buf = closeAttr(t.buf, start)
		t.end()
	}
}

// appendSpan writes an element: the key at which it begins and, for an interval, the key after its end. An interval that goes up
// to the last key has no end, and a note for nft, which otherwise prints its first key alone.
func appendSpan(b []byte, s span, k kind) []byte {
	// The attributes of struct nftnl_udata: a type, a length, and the flag "open" in the machine's byte order.
	const udataFlags, flagOpen = 1, 1
	next, closed := s.after()
	at := len(b)
	b = openAttr(b, unix.NFTA_LIST_ELEM)
	b = appendKey(b, s.lo)
	if k.interval() && !closed {
		b = appendAttr(b, raw(unix.NFTA_SET_ELEM_USERDATA, binary.NativeEndian.AppendUint32([]byte{udataFlags, 4}, flagOpen)))
	}
	b = closeAttr(b, at)
	if !k.interval() || !closed {
		return b
	}
	at = len(b)
	b = openAttr(b, unix.NFTA_LIST_ELEM)
	b = append(b, 8, 0, unix.NFTA_SET_ELEM_FLAGS, 0, 0, 0, 0, unix.NFT_SET_ELEM_INTERVAL_END)
	binary.NativeEndian.PutUint16(b[len(b)-8:], 8)
	binary.NativeEndian.PutUint16(b[len(b)-6:], unix.NFTA_SET_ELEM_FLAGS)
	b = appendKey(b, next)
	return closeAttr(b, at)
}

// appendKey writes a key without making an attr of it: there are two for each element.
func appendKey(b []byte, key []byte) []byte {
	outer := len(b)
	b = openAttr(b, unix.NFTA_SET_ELEM_KEY)
	inner := len(b)
	b = binary.NativeEndian.AppendUint16(b, 0)
	b = binary.NativeEndian.AppendUint16(b, unix.NFTA_DATA_VALUE)
	b = closeAttr(append(b, key...), inner)
	return closeAttr(b, outer)
}

func (t *batch) newChain(c chain) {
	attrs := []attr{text(unix.NFTA_CHAIN_NAME, c.name)}
	if h := c.hook; h != nil {
		attrs = append(attrs, u32(unix.NFTA_CHAIN_POLICY, h.policy), text(unix.NFTA_CHAIN_TYPE, h.kind), nest(unix.NFTA_CHAIN_HOOK,
			u32(unix.NFTA_HOOK_HOOKNUM, h.number), u32(unix.NFTA_HOOK_PRIORITY, uint32(h.priority))))
	}
	t.add(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "make chain "+c.name, attrs...)
}

// refill empties a chain and puts its rules in.
func (t *batch) refill(r refill) {
	t.add(unix.NFT_MSG_DELRULE, 0, "empty chain "+r.chain, text(unix.NFTA_RULE_CHAIN, r.chain))
	for i, rule := range r.rules {
		attrs := []attr{text(unix.NFTA_RULE_CHAIN, r.chain), nest(unix.NFTA_RULE_EXPRESSIONS, rule.expressions...)}
		if rule.userdata != nil {
			attrs = append(attrs, raw(unix.NFTA_RULE_USERDATA, rule.userdata))
		}
		t.add(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, fmt.Sprintf("add rule %d of chain %s", i+1, r.chain), attrs...)
	}
}

// encode makes of a rule what the kernel takes. A comment is noted as nft notes it.
func (r rule) encode(renamed map[*set]string) encodedRule {
	const udataComment = 0 // libnftnl/udata.h
	e := &encoder{names: renamed}
	for _, s := range r.statements {
		s.encode(e)
	}
	out := encodedRule{expressions: e.exprs}
	if r.comment != "" {
		out.userdata = append([]byte{udataComment, byte(len(r.comment) + 1)}, r.comment+"\x00"...)
	}
	return out
}

// interned reports whether the set's name says nothing of what it is for.
func (s *set) interned() bool {
	switch s.name {
	case setDevices, setOwn + "4", setOwn + "6", setFabric + "4", setFabric + "6", setBGP + "4", setBGP + "6", setBFD + "4", setBFD + "6":
		return false
	}
	return true
}
