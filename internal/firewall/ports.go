package firewall

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"ropeway/internal/fabric"
)

// A portRange is TCP or UDP ports from first to last, both included.
type portRange struct{ first, last uint16 }

func (r portRange) String() string {
	if r.first == r.last {
		return strconv.Itoa(int(r.first))
	}
	return fmt.Sprintf("%d-%d", r.first, r.last)
}

// portRanges returns the ports that the services of one protocol name, sorted. Ranges that overlap or touch become one: the
// kernel would refuse the first, and nobody gains by the second.
func portRanges(list []fabric.Service, proto fabric.Protocol) []portRange {
	var all []portRange
	for _, s := range list {
		if s.Protocol == proto {
			all = append(all, portRange{s.First, s.Last})
		}
	}
	slices.SortFunc(all, func(a, b portRange) int { return int(a.first) - int(b.first) })
	out := all[:0]
	for _, r := range all {
		if n := len(out); n > 0 && int(r.first) <= int(out[n-1].last)+1 {
			out[n-1].last = max(out[n-1].last, r.last)
			continue
		}
		out = append(out, r)
	}
	return out
}

func portSpans(ranges []portRange) spans {
	out := spans{size: ports.size()}
	for _, r := range ranges {
		out.keys = binary.BigEndian.AppendUint16(out.keys, r.first)
		out.keys = binary.BigEndian.AppendUint16(out.keys, r.last)
	}
	return out
}
