package verify

import (
	"math/bits"
	"slices"
	"strings"

	"ropeway/internal/fabric"
)

// A set is a set of small numbers: of services, of access entries, of tests.
type set []uint64

func newSet(n int) set { return make(set, (n+63)/64) }

func (s set) add(i int)      { s[i>>6] |= 1 << (i & 63) }
func (s set) has(i int) bool { return s[i>>6]&(1<<(i&63)) != 0 }

// empty reports whether nothing is in s.
func (s set) empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}

// within reports whether all of s is in t.
func (s set) within(t set) bool {
	for i, w := range s {
		if w&^t[i] != 0 {
			return false
		}
	}
	return true
}

// meets reports whether something is in both.
func (s set) meets(t set) bool {
	for i, w := range s {
		if w&t[i] != 0 {
			return true
		}
	}
	return false
}

// firstOfBoth returns the least number from i on that is in both, or -1.
func (s set) firstOfBoth(t set, i int) int {
	for word := i >> 6; word < len(s); word++ {
		w := s[word] & t[word]
		if word == i>>6 {
			w &= ^uint64(0) << (i & 63)
		}
		if w != 0 {
			return word*64 + bits.TrailingZeros64(w)
		}
	}
	return -1
}

// first returns the least that is in s and not in t, or -1. A nil t is empty.
func (s set) first(t set) int {
	for i, w := range s {
		if t != nil {
			w &^= t[i]
		}
		if w != 0 {
			return i*64 + bits.TrailingZeros64(w)
		}
	}
	return -1
}

// services cuts what can be spoken, as atoms cut addresses: nothing that the plan or the file says tells two ports of one range
// apart. The first is ICMP, the last every protocol that has no name here.
type services struct {
	ranges    []fabric.Service // Protocol "" is every other protocol
	words     int
	all       set
	answered  set // whose answers are no beginning of anything: TCP and ICMP
	udp       set
	ephemeral set // ports that a UDP answer may go to
	other     set
	known     map[string]set
}

// Linux's default ip_local_port_range (Documentation/networking/ip-sysctl.rst).
var ephemeral = fabric.Service{Protocol: fabric.UDP, First: 32768, Last: 60999}

func newServices(named [][]fabric.Service) *services {
	s := &services{ranges: []fabric.Service{{Protocol: fabric.ICMP}}, known: map[string]set{}}
	for _, proto := range []fabric.Protocol{fabric.TCP, fabric.UDP} {
		bounds := []int{1, 1 << 16}
		if proto == fabric.UDP {
			bounds = append(bounds, int(ephemeral.First), int(ephemeral.Last)+1)
		}
		for _, list := range named {
			for _, x := range list {
				if x.Protocol == proto && x.First > 0 {
					bounds = append(bounds, int(x.First), int(x.Last)+1)
				}
			}
		}
		slices.Sort(bounds)
		bounds = slices.Compact(bounds)
		for i, b := range bounds[:len(bounds)-1] {
			s.ranges = append(s.ranges, fabric.Service{Protocol: proto, First: uint16(b), Last: uint16(bounds[i+1] - 1)})
		}
	}
	s.ranges = append(s.ranges, fabric.Service{})
	s.words = (len(s.ranges) + 63) / 64
	s.all, s.answered, s.udp, s.other, s.ephemeral = s.none(), s.none(), s.none(), s.none(), s.none()
	for i, r := range s.ranges {
		s.all.add(i)
		switch r.Protocol {
		case fabric.TCP, fabric.ICMP:
			s.answered.add(i)
		case fabric.UDP:
			s.udp.add(i)
			if ephemeral.Contains(r) {
				s.ephemeral.add(i)
			}
		default:
			s.other.add(i)
		}
	}
	return s
}

func (s *services) none() set { return make(set, s.words) }

// of returns the set of a list as rules and access entries write it: an empty one means all.
func (s *services) of(list []fabric.Service) set {
	if len(list) == 0 {
		return s.all
	}
	out := s.none()
	for i, r := range s.ranges {
		for _, x := range list {
			if r.Protocol != "" && x.Contains(r) {
				out.add(i)
			}
		}
	}
	return out
}

// shared is of, worked out once per list.
func (s *services) shared(list []fabric.Service) set {
	if len(list) == 0 {
		return s.all
	}
	var key strings.Builder
	for _, x := range list {
		key.WriteString(x.String() + ",")
	}
	known, ok := s.known[key.String()]
	if !ok {
		known = s.of(list)
		s.known[key.String()] = known
	}
	return known
}

// witness returns one service out of a range: its first port.
func (s *services) witness(i int) fabric.Service {
	r := s.ranges[i]
	r.Last = r.First
	return r
}

// text writes a set for people: "tcp/443, udp/1-65535", or "any service".
func (s *services) text(x set) string {
	if s.all.within(x) {
		return "any service"
	}
	var parts []string
	var run fabric.Service
	flush := func() {
		if run.Protocol != "" {
			parts = append(parts, run.String())
		}
	}
	for i, r := range s.ranges {
		switch {
		case !x.has(i):
		case r.Protocol == "":
			flush()
			run = fabric.Service{}
			parts = append(parts, "other protocols")
		case r.Protocol == run.Protocol && int(r.First) == int(run.Last)+1:
			run.Last = r.Last
		default:
			flush()
			run = r
		}
	}
	flush()
	const most = 6
	if len(parts) > most {
		parts = append(parts[:most], "…")
	}
	return strings.Join(parts, ", ")
}
