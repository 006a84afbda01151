package bird

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// What BIRD says is for people, so these readers take what they know and leave what they do not. Codes of lines (BIRD, doc/reply_codes):
const (
	codeVersion  = 1000
	codeProtocol = 1002
	codeDetails  = 1006
	codeRoute    = 1007
	codeType     = 1008
	codeStatus   = 1011
	codeAttrs    = 1012
	codeBFD      = 1020
)

// stamp is how BIRD writes times, as it is told to. It is the machine's local time, so only differences mean something.
const stamp = "2006-01-02 15:04:05"

// parseStatus reads "show status": the version, and what time it is for BIRD.
func parseStatus(reply []line) (version string, now time.Time) {
	for _, l := range reply {
		switch {
		case l.code == codeVersion:
			version = l.text // "BIRD 2.0.12"
		case l.code == codeStatus:
			if s, ok := strings.CutPrefix(strings.TrimSpace(l.text), "Current server time is "); ok {
				now, _ = time.Parse(stamp, s)
			}
		}
	}
	return version, now
}

// A session is a neighbour and BIRD's name for it.
type session struct {
	bgp.Neighbor
	protocol string
}

// parseProtocols reads "show protocols all". A protocol begins with a line of its name, kind, table, state, date, time, and a remark; details follow.
func parseProtocols(reply []line, now time.Time) (list []session) {
	var s *session
	for _, l := range reply {
		if l.code == codeProtocol {
			s = nil
			if f := strings.Fields(l.text); len(f) >= 6 && f[1] == "BGP" {
				list = append(list, session{protocol: f[0], Neighbor: bgp.Neighbor{State: "Idle"}})
				s = &list[len(list)-1]
				if since, err := time.Parse(stamp, f[4]+" "+f[5]); err == nil && !now.IsZero() {
					s.Since = max(0, now.Sub(since))
				}
			}
			continue
		}
		if l.code == codeDetails && s != nil {
			if key, value, ok := strings.Cut(l.text, ":"); ok {
				s.detail(strings.TrimSpace(key), strings.TrimSpace(value))
			}
		}
	}
	return list
}

func (s *session) detail(key, value string) {
	switch key {
	case "Description":
		s.Name = value
	case "BGP state":
		switch value {
		case "Established", "Connect", "Active", "OpenSent", "OpenConfirm":
			s.State = value
		default: // BIRD has Down, Close and Passive beside, in all of which it does nothing
			s.State = "Idle"
		}
		s.Up = s.State == "Established"
	case "Neighbor address":
		address, _, _ := strings.Cut(value, "%")
		s.Address, _ = netip.ParseAddr(address)
	case "Neighbor AS":
		s.ASN = number(value)
	case "Last error":
		s.LastError = value
	case "Routes": // "3 imported, 1 filtered, 2 exported, 3 preferred"
		for part := range strings.SplitSeq(value, ",") {
			f := strings.Fields(part)
			switch {
			case len(f) != 2:
			case f[1] == "imported":
				s.Received = int(number(f[0]))
			case f[1] == "exported":
				s.Sent = int(number(f[0]))
			}
		}
	}
}

// parseBFD reads "show bfd sessions": lines of an address, an interface, a state, and times.
func parseBFD(reply []line) map[netip.Addr]string {
	states := map[netip.Addr]string{}
	for _, l := range reply {
		f := strings.Fields(l.text)
		if l.code != codeBFD || len(f) < 3 {
			continue
		}
		address, err := netip.ParseAddr(f[0])
		if err != nil {
			continue
		}
		switch f[2] {
		case "Up", "Down", "Init":
			states[address] = strings.ToLower(f[2])
		case "AdminDown":
			states[address] = "admin-down"
		}
	}
	return states
}

// A route is a route, BIRD's name for whom it is from, and where it leads.
type route struct {
	bgp.Route
	protocol string
	primary  bool
	hops     []hop
}

type hop struct {
	gateway netip.Addr
	device  string
}

// parseRoutes reads "show route", with "all" or without. A route begins with a line "PREFIX KIND [PROTOCOL TIME from ADDRESS] * (PREFERENCE) [ORIGIN]", where the
// prefix is left out if it is that of the route before, and "*" marks the best; hops and attributes follow.
func parseRoutes(reply []line) (list []route) {
	var prefix netip.Prefix
	var r *route
	for _, l := range reply {
		text := strings.TrimSpace(l.text)
		if l.code == codeRoute && !strings.HasPrefix(text, "via ") && !strings.HasPrefix(text, "dev ") {
			r = nil
			if first, _, _ := strings.Cut(l.text, " "); first != "" {
				prefix, _ = netip.ParsePrefix(first) // "Table master4:" is none
			}
			_, rest, ok := strings.Cut(text, "[")
			from, after, closed := strings.Cut(rest, "]")
			if f := strings.Fields(from); ok && closed && len(f) > 0 && prefix.IsValid() {
				list = append(list, route{Route: bgp.Route{Prefix: prefix}, protocol: f[0], primary: strings.HasPrefix(after, " *")})
				r = &list[len(list)-1]
			}
			continue
		}
		if r == nil {
			continue
		}
		switch l.code {
		case codeRoute:
			r.hop(strings.Fields(text))
		case codeAttrs:
			if key, value, ok := strings.Cut(text, ":"); ok {
				r.attribute(key, strings.TrimSpace(value))
			}
		}
	}
	return list
}

// hop reads "via ADDRESS on DEVICE" and "dev DEVICE", and whatever stands behind it.
func (r *route) hop(f []string) {
	switch {
	case len(f) >= 4 && f[0] == "via" && f[2] == "on":
		if gateway, err := netip.ParseAddr(f[1]); err == nil {
			r.hops = append(r.hops, hop{gateway.WithZone(""), f[3]})
		}
	case len(f) >= 2 && f[0] == "dev":
		r.hops = append(r.hops, hop{device: f[1]})
	}
}

func (r *route) attribute(key, value string) {
	switch key {
	case "BGP.as_path":
		for _, f := range strings.Fields(strings.NewReplacer("{", " ", "}", " ", "(", " ", ")", " ").Replace(value)) {
			r.Path = append(r.Path, number(f))
		}
	case "BGP.next_hop":
		first, _, _ := strings.Cut(value, " ") // a link-local address may follow
		r.NextHop, _ = netip.ParseAddr(first)
	case "BGP.local_pref":
		r.LocalPreference = number(value)
	case "BGP.med":
		r.Metric = number(value)
	case "BGP.community", "BGP.large_community": // "(64512,1) (64512,2)", "(114, 1, 7) (114, 1, 9)"
		for part := range strings.SplitSeq(value, ")") {
			r.community(strings.NewReplacer("(", "", " ", "", ",", ":").Replace(part))
		}
	}
}

// community reads one that is written as fabric.ParseCommunity has it.
func (r *route) community(text string) {
	if rest, ours := strings.CutPrefix(text, fmt.Sprintf("%d:", plan.TagASN)); ours && strings.Contains(rest, ":") {
		if kind, tag, _ := strings.Cut(rest, ":"); kind == "1" {
			r.Tags = append(r.Tags, number(tag))
		}
		return
	}
	if c, err := fabric.ParseCommunity(text); err == nil {
		r.Communities = append(r.Communities, c)
	}
}

// number reads a number of at most 32 bits; what is none is 0.
func number(s string) uint32 {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
