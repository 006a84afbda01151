package adopt

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/key"
)

// maxPeers bounds what one configuration may name: a fabric file has at most 2048 sites.
const maxPeers = 2048

// Parse reads a configuration of the machine of a name: one, or one for each device that a dump lists. file stands in the positions of errors.
func Parse(name, file string, data []byte) ([]Config, error) {
	p := &parser{file: file, name: name}
	lines := strings.Split(string(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))), "\n")
	read := p.readFile
	if isDump(lines) {
		read = p.readDump
	}
	for i, line := range lines {
		p.line = i + 1
		if err := read(line); err != nil {
			return nil, err
		}
	}
	p.line = 0
	if len(p.configs) == 0 {
		return nil, p.wrong("there is no [Interface] in it, and it is no dump", "give a file of wg-quick, or what wg showconf DEVICE or wg show all dump prints")
	}
	for i := range p.configs {
		slices.Sort(p.configs[i].Ignored)
		p.configs[i].Ignored = slices.Compact(p.configs[i].Ignored)
	}
	return p.configs, nil
}

// isDump reports whether a text has columns and no sections.
func isDump(lines []string) bool {
	section := func(l string) bool { return strings.HasPrefix(strings.TrimSpace(l), "[") }
	columns := func(l string) bool { return strings.Contains(l, "\t") }
	return !slices.ContainsFunc(lines, section) && slices.ContainsFunc(lines, columns)
}

// A parser reads line by line.
type parser struct {
	file, name string
	line       int
	configs    []Config
	inPeer     bool
	label      string // what the comment above says
}

// wrong explains what is wrong with a line, without a word of it.
func (p *parser) wrong(message, hint string) error {
	return diag.Problem{Code: codeUnread, Severity: diag.Error, Subject: "gateway " + p.name, Message: message, Hint: hint, Position: p.at()}
}

func (p *parser) at() diag.Position {
	at := diag.Position{File: p.file, Line: p.line}
	if p.line > 0 {
		at.Column = 1
	}
	return at
}

func (p *parser) config() *Config {
	if len(p.configs) == 0 {
		return nil
	}
	return &p.configs[len(p.configs)-1]
}

func (p *parser) peer() *Peer { c := p.config(); return &c.Peers[len(c.Peers)-1] }

// readFile reads a line of wg-quick(8) or wg(8) showconf: [Section], Word = value, # comment.
func (p *parser) readFile(line string) error {
	text, comment, commented := strings.Cut(line, "#")
	text = strings.TrimSpace(text)
	if commented && text == "" {
		p.noteLabel(comment)
	}
	switch {
	case text == "":
		return nil
	case strings.EqualFold(text, "[Interface]"):
		p.configs, p.inPeer = append(p.configs, Config{Name: p.name}), false
		return nil
	case strings.EqualFold(text, "[Peer]"):
		return p.beginPeer()
	}
	word, value, ok := strings.Cut(text, "=")
	word, value = strings.ToLower(strings.TrimSpace(word)), strings.TrimSpace(value)
	switch {
	case !ok:
		return p.wrong("the line is neither a section nor a word with a value", "look at the line; it is not shown, since it may hold a secret")
	case p.config() == nil:
		return p.wrong("something stands before the first section", "a configuration begins with [Interface]")
	case p.inPeer:
		return p.peerWord(word, value)
	}
	return p.deviceWord(word, value)
}

func (p *parser) beginPeer() error {
	c := p.config()
	if c == nil {
		return p.wrong("a [Peer] stands before [Interface]", "a configuration begins with [Interface]")
	}
	if len(c.Peers) == maxPeers {
		return p.wrong(fmt.Sprintf("it has more than %d peers", maxPeers), "a fabric has fewer places; give fewer machines")
	}
	c.Peers = append(c.Peers, Peer{Label: p.label})
	p.inPeer, p.label = true, ""
	return nil
}

// named finds the name in a comment above a peer, or below its section: "# hq", "### Client hq", "# Name = hq".
var named = regexp.MustCompile(`(?i)^[#!\s]*(?:(?:friendly_name|name|client|peer|begin_peer)\s*[:=]?\s+|(?:friendly_name|name)\s*[:=]\s*)?([a-z][a-z0-9-]{0,31})\s*$`)

// noteLabel keeps what a comment calls the peer that it stands with. A word of 32 letters at most is no key.
func (p *parser) noteLabel(comment string) {
	m := named.FindStringSubmatch(comment)
	if m == nil || !fabric.ValidName(strings.ToLower(m[1])) {
		return
	}
	label := strings.ToLower(m[1])
	if p.inPeer && p.peer().Label == "" && p.peer().Public.IsZero() {
		p.peer().Label = label
		return
	}
	p.label = label
}

// deviceWord reads a word of [Interface].
func (p *parser) deviceWord(word, value string) error {
	c := p.config()
	switch word {
	case "privatekey":
		return p.privateKey(c, value)
	case "address":
		list, err := p.prefixes(value)
		c.Addresses = append(c.Addresses, list...)
		return err
	case "listenport":
		port, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			return p.wrong("ListenPort is no port", "want 0 to 65535")
		}
		c.ListenPort = uint16(port)
	case "mtu":
		mtu, err := strconv.Atoi(value)
		if err != nil || mtu < fabric.MinInnerMTU || mtu > fabric.MaxMTU {
			return p.wrong("MTU is no MTU", fmt.Sprintf("want %d to %d bytes", fabric.MinInnerMTU, fabric.MaxMTU))
		}
		c.MTU = mtu
	case "fwmark", "dns", "table", "preup", "postup", "predown", "postdown", "saveconfig":
		c.Ignored = append(c.Ignored, word)
	default:
		return p.unknownWord()
	}
	return nil
}

func (p *parser) unknownWord() error {
	return p.wrong("the line begins with a word that wg-quick does not know", "look at the line; it is not shown, since it may hold a secret")
}

// privateKey keeps the public half.
func (p *parser) privateKey(c *Config, value string) error {
	k, err := key.ParsePrivate(value)
	if err != nil {
		return p.wrong("PrivateKey is no WireGuard key", "want 32 bytes in base64; it is not shown")
	}
	c.Public = k.Public()
	return nil
}

// peerWord reads a word of [Peer].
func (p *parser) peerWord(word, value string) error {
	peer := p.peer()
	switch word {
	case "publickey":
		return p.publicKey(peer, value)
	case "presharedkey":
		peer.Preshared = true
	case "allowedips":
		list, err := p.prefixes(value)
		for _, a := range list {
			peer.Allowed = append(peer.Allowed, a.Masked())
		}
		return err
	case "endpoint":
		return p.endpoint(peer, value)
	case "persistentkeepalive":
		return p.keepalive(peer, value)
	default:
		return p.unknownWord()
	}
	return nil
}

func (p *parser) publicKey(peer *Peer, value string) error {
	k, err := key.ParsePublic(value)
	if err != nil || k.IsZero() {
		return p.wrong("the public key of a peer is no WireGuard key", "want 32 bytes in base64")
	}
	peer.Public = k
	return nil
}

// endpoint reads HOST:PORT. A link-local address with a zone, or a name that is none, tells nothing to others.
func (p *parser) endpoint(peer *Peer, value string) error {
	e, err := fabric.ParseEndpoint(canonicalHost(value))
	if err != nil {
		return p.wrong("Endpoint is not HOST:PORT", "want an IPv4 address, an IPv6 address in brackets, or a DNS name, and a port")
	}
	peer.Endpoint = e
	return nil
}

// canonicalHost writes an address as package fabric wants it, and a name in lower case.
func canonicalHost(value string) string {
	if at, err := netip.ParseAddrPort(value); err == nil {
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).String()
	}
	host, port, _ := strings.Cut(strings.ToLower(value), ":")
	return strings.TrimSuffix(host, ".") + ":" + port
}

func (p *parser) keepalive(peer *Peer, value string) error {
	if value == "off" {
		return nil
	}
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil {
		return p.wrong("PersistentKeepalive is no number of seconds", "want off, or 0 to 65535")
	}
	peer.Keepalive = int(n)
	return nil
}

// prefixes reads a list of prefixes and addresses, with the host bits that it has.
func (p *parser) prefixes(value string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for text := range strings.SplitSeq(value, ",") {
		text = strings.TrimSpace(text)
		if text == "" || text == "(none)" {
			continue
		}
		found, err := netip.ParsePrefix(text)
		if addr, err2 := netip.ParseAddr(text); err != nil && err2 == nil && addr.Zone() == "" {
			found, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil || found.Addr().Is4In6() {
			return nil, p.wrong("one of the addresses is none", "want ADDRESS or ADDRESS/LENGTH, with commas between them")
		}
		out = append(out, found)
	}
	return out, nil
}
