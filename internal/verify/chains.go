package verify

// chains finds numbers by a key that several of them may share: the peers or route groups of a table by their list, the route groups of a
// gateway by the peer that they mean. It is a hash table in two arrays, made where an update first needs it.
type chains struct {
	heads []int32 // by hash: 1 + the last number that was added; a power of two long
	next  []int32 // by number: 1 + the one that was added before
}

func newChains(n int, key func(i int) uint32) *chains {
	size := 16
	for size < 2*n {
		size *= 2
	}
	c := &chains{heads: make([]int32, size)}
	for i := range n {
		c.add(key(i))
	}
	return c
}

// add gives the next number a key.
func (c *chains) add(key uint32) {
	h := c.slot(key)
	c.next = append(c.next, *h)
	*h = int32(len(c.next))
}

func (c *chains) slot(key uint32) *int32 {
	return &c.heads[key*0x9e3779b1>>8&uint32(len(c.heads)-1)]
}

// last returns the highest number that may have a key, or -1. Others may be in between: whoever asks compares keys.
func (c *chains) last(key uint32) int32 { return *c.slot(key) - 1 }

// before returns the next lower one, or -1.
func (c *chains) before(number int32) int32 { return c.next[number] - 1 }
