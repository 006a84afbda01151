package bird

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// A reach is how the machine reaches a router of its place.
type reach struct {
	local  netip.Addr // what the machine sends from; zero: it does not know a way
	direct bool       // the router is in a prefix of an interface
}

// Render writes BIRD's configuration, passwords included. It is a function of what it is given and nothing else: reaches tells of the neighbours that are external,
// and dir is where the log goes. A section begins with a line "# NAME"; Plan names what differs by it.
func render(c *bgp.Config, reaches map[netip.Addr]reach, dir string) (string, error) {
	if err := check(c); err != nil {
		return "", err
	}
	t := &text{}
	t.line("# general")
	t.line("router id %s;", c.RouterID)
	t.line("log %q %d %q { info, remote, warning, error, auth, fatal, bug };", dir+"/"+logName, maxLog, dir+"/"+oldLogName)
	t.line("timeformat protocol iso long ms;")
	t.line("graceful restart wait %d;", bgp.Hold) // a neighbour that is there has come back by then
	t.line("protocol device { }")
	t.watch(c)
	// What is remembered of a route and told to nobody.
	t.line("attribute int from_as;     # whom it was learnt from")
	t.line("attribute int from_spoke;  # 1: a neighbour with Spoke")
	t.line("attribute int from_router; # 1: a router of the place")
	for _, f := range families {
		t.family(c, f, reaches)
	}
	for _, n := range c.Neighbors {
		t.neighbor(c, n, reaches[n.Address])
	}
	return t.String(), nil
}

// watch writes what watches neighbours, and siblings several hops away (RFC 5883).
func (t *text) watch(c *bgp.Config) {
	if c.Table == nil || c.Drained || len(c.Table.Siblings) == 0 {
		t.line("protocol bfd { strict bind yes; }")
		return
	}
	t.open("protocol bfd")
	t.line("strict bind yes;")
	b := c.Table.Siblings[0].BFD // one for all
	t.line("multihop { interval %d ms; multiplier %d; };", b.Interval, b.Multiplier)
	for _, s := range c.Table.Siblings {
		t.line("neighbor %s local %s multihop yes; # %s", s.Address, s.Local, s.Name)
	}
	t.close("}")
}

// A family is what BIRD calls a channel.
type family struct {
	bits int    // of an address
	name string // of the channel
	n    byte
}

var families = []family{{32, "ipv4", '4'}, {128, "ipv6", '6'}}

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return families[0]
	}
	return families[1]
}

// metric is that of our routes in the kernel. Another instance of BIRD has 32 unless it is told otherwise, and no two instances may share one: each takes all
// routes of RTPROT_BIRD and its metric for its own.
const metric = 114

// family writes what a family has once: what the gateway originates, and the way to the kernel.
func (t *text) family(c *bgp.Config, f family, reaches map[netip.Addr]reach) {
	t.line("")
	t.line("# own prefixes, %s", f.name)
	t.open("protocol static own%c", f.n)
	t.line("%s;", f.name)
	for _, p := range c.Own {
		if p.Addr().BitLen() == f.bits {
			t.line("route %s unreachable;", p)
		}
	}
	t.close("}")

	t.line("")
	t.line("# kernel routes, %s", f.name)
	learn := t.machine(c, f, reaches)
	t.open("protocol kernel kernel%c", f.n)
	t.line("metric %d;", metric)
	t.line("graceful restart yes;")
	t.line("merge paths on limit %d;", c.MaxPaths)
	if learn != "" {
		t.line("learn yes;")
	}
	t.open("%s", f.name)
	if learn == "" {
		learn = "none"
	}
	t.line("import %s;", learn)
	t.open("export filter")
	t.line("if source != RTS_BGP then reject;")
	for _, a := range c.Sources {
		if a.BitLen() == f.bits {
			t.line("krt_prefsrc = %s;", a)
		}
	}
	t.line("accept;")
	t.close("};")
	t.close("};")
	t.close("}")
}

// machine writes a table with those routes of the machine that lead to routers which are in no prefix of an interface, and returns which they are: by them
// it is found where such a router's routes lead. They are nobody else's business.
func (t *text) machine(c *bgp.Config, f family, reaches map[netip.Addr]reach) (learn string) {
	var lead []string
	for _, n := range c.Neighbors {
		if n.External() && !reaches[n.Address].direct && n.Address.BitLen() == f.bits {
			lead = append(lead, fmt.Sprintf("%s ~ net", n.Address))
		}
	}
	if len(lead) == 0 {
		return ""
	}
	t.line("%s table machine%c;", f.name, f.n)
	t.line("protocol pipe pipe%c { table master%c; peer table machine%c; import none; export where source = RTS_INHERIT; }", f.n, f.n, f.n)
	return "where " + strings.Join(lead, " || ")
}

// protocol is BIRD's name for a neighbour's session: a letter and the address.
func protocol(a netip.Addr) string {
	return fmt.Sprintf("n%c_%s", familyOf(a).n, strings.NewReplacer(".", "_", ":", "_").Replace(a.StringExpanded()))
}

// neighbor writes a session. Times are in seconds where BIRD takes no others.
func (t *text) neighbor(c *bgp.Config, n *plan.Neighbor, r reach) {
	f := familyOf(n.Address)
	t.line("")
	t.line("# neighbor %s %s", n.Name, n.Address)
	t.open("protocol bgp %s", protocol(n.Address))
	t.line("description %q;", n.Name)
	t.ends(c, n, r)
	t.line("hold time %d; startup hold time %d; keepalive time %d;", bgp.Hold, bgp.Hold, bgp.Keepalive)
	t.line("connect delay time %d; connect retry time %d; error wait time %d, %d;", bgp.Connect, bgp.Connect, bgp.Connect, maxErrorWait)
	t.line("graceful restart on; graceful restart time %d;", restartTime)
	t.line("path metric on; med metric on; prefer older off;")
	if n.BFD != nil {
		t.line("bfd { min rx interval %d ms; min tx interval %d ms; multiplier %d; };", n.BFD.Interval, n.BFD.Interval, n.BFD.Multiplier)
	}
	if n.Password != "" {
		t.line("password \"%s\";", c.Passwords[n.Password])
	}
	t.open("%s", f.name)
	t.line("next hop self;")
	t.line("import limit %d action restart;", n.MaxPrefixes)
	if n.External() && !r.direct {
		t.line("igp table machine%c; gateway recursive;", f.n)
	}
	t.imports(n)
	t.exports(c, n)
	t.close("};")
	t.close("}")
}

const (
	// maxErrorWait is the longest, in seconds, that a session which ended by an error waits until it is tried again; it begins with bgp.Connect and doubles.
	maxErrorWait = 10
	// restartTime is how long, in seconds, a neighbour without BFD keeps our routes when our daemon crashed (RFC 4724, section 3).
	restartTime = 30
)

// ends writes between whom a session is. A session that knows its local address listens there alone, so that another daemon of the machine may have port 179 elsewhere.
func (t *text) ends(c *bgp.Config, n *plan.Neighbor, r reach) {
	local := n.Local
	if n.External() && !local.IsValid() {
		local = r.local
	}
	if local.IsValid() {
		t.line("local %s as %d;", local, c.ASN)
		t.line("strict bind yes;")
	} else {
		t.line("local as %d;", c.ASN)
	}
	t.line("neighbor %s as %d;", n.Address, n.ASN)
	switch {
	case !n.External():
		t.line("interface %q;", n.Device)
		t.line("direct;")
	case r.direct:
		t.line("direct;")
	default:
		t.line("multihop 2;") // BIRD takes no other for a neighbour that is in no prefix of an interface
	}
}

// deviceName is what an interface of ours can be called.
var deviceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,14}$`)

// check refuses what would be another configuration than was meant. plan.Gateway.Validate refuses it, too; passwords alone come from elsewhere.
func check(c *bgp.Config) error {
	if c.BGP == nil || !c.RouterID.Is4() || c.ASN == 0 || c.MaxPaths < 1 {
		return fmt.Errorf("want an AS number, an IPv4 router ID and a number of paths")
	}
	if c.Table != nil {
		if err := c.Table.Validate(); err != nil {
			return fmt.Errorf("table: %w", err)
		}
	}
	for _, n := range c.Neighbors {
		if !fabric.ValidName(n.Name) || n.Address.Zone() != "" || n.Local.Zone() != "" || n.Device != "" && !deviceName.MatchString(n.Device) {
			return fmt.Errorf("neighbor %q at %s: its name, addresses or device cannot be", n.Name, n.Address)
		}
		if n.ASN == c.ASN {
			return fmt.Errorf("neighbor %s at %s is of our own AS %d: want another", n.Name, n.Address, n.ASN)
		}
		if n.Password == "" {
			continue
		}
		password := c.Passwords[n.Password]
		if password == "" {
			return fmt.Errorf("neighbor %s: there is no password %q", n.Name, n.Password)
		}
		if len(password) > bgp.MaxPassword || strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r == '"' || r > '~' }) {
			return fmt.Errorf("neighbor %s: BIRD cannot have the password %q: want at most %d printable ASCII characters, and no quotation mark", n.Name, n.Password, bgp.MaxPassword)
		}
	}
	return nil
}

// A text is a configuration that is being written.
type text struct {
	strings.Builder
	depth int
}

func (t *text) line(format string, args ...any) {
	if format != "" {
		t.WriteString(strings.Repeat("\t", t.depth))
	}
	fmt.Fprintf(t, format+"\n", args...)
}

func (t *text) open(format string, args ...any) {
	t.line(format+" {", args...)
	t.depth++
}

func (t *text) close(end string) {
	t.depth--
	t.line("%s", end)
}
