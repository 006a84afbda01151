package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"strconv"
	"unsafe"
)

// Revision names the content of a gateway's plan: the same plan has the same revision, on any machine.
func Revision(g *Gateway) string {
	return revision(append(encoded(g), '\n'))
}

// Revisions returns the revision of every gateway. They are Revision's, written by hand where plans are long: the plans of a thousand
// gateways in mesh have fifty million prefixes in a few thousand lists, and each list is written once.
func (f *Fabric) Revisions() map[string]string {
	w := &writer{lists: map[listName][]byte{}}
	out := make(map[string]string, len(f.Gateways))
	for _, g := range f.Gateways {
		w.out = w.out[:0]
		w.gateway(g)
		out[g.Name] = revision(append(w.out, '\n'))
	}
	return out
}

func revision(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// encoded returns plain data as JSON.
func encoded(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil { // plain data always encodes
		panic("plan: " + err.Error())
	}
	return out
}

// A writer writes what encoding/json does of a gateway, and remembers lists by where they lie.
type writer struct {
	out   []byte
	lists map[listName][]byte
}

type listName struct {
	first *netip.Prefix
	long  int
}

func (w *writer) gateway(g *Gateway) {
	w.value(`{"name":`, g.Name)
	w.value(`,"place":`, g.Place)
	each(w, `,"devices":`, g.Devices, w.device)
	if len(g.Routes) > 0 {
		each(w, `,"routes":`, g.Routes, w.route)
	}
	w.list(`,"firewall":{"own":`, g.Firewall.Own)
	w.list(`,"fabric":`, g.Firewall.Fabric)
	if len(g.Firewall.Rules) > 0 {
		each(w, `,"rules":`, g.Firewall.Rules, w.rule)
	}
	if len(g.Firewall.Answers) > 0 {
		w.value(`,"answers":`, g.Firewall.Answers)
	}
	w.text(`}`)
	if len(g.Sysctls) > 0 {
		w.value(`,"sysctls":`, g.Sysctls)
	}
	if g.BGP != nil {
		w.value(`,"bgp":`, g.BGP)
	}
	w.text(`}`)
}

func (w *writer) device(d Device) {
	w.value(`{"name":`, d.Name)
	w.number(`,"listenPort":`, int(d.ListenPort))
	w.list(`,"addresses":`, d.Addresses)
	w.number(`,"mtu":`, d.MTU)
	if !d.PublicKey.IsZero() {
		w.value(`,"publicKey":`, d.PublicKey)
	}
	each(w, `,"peers":`, d.Peers, w.peer)
	w.text(`}`)
}

func (w *writer) peer(p *Peer) {
	w.value(`{"gateway":`, p.Gateway)
	if !p.PublicKey.IsZero() {
		w.value(`,"publicKey":`, p.PublicKey)
	}
	if !p.Endpoint.IsZero() {
		w.value(`,"endpoint":`, p.Endpoint)
	}
	w.list(`,"allowedIPs":`, p.AllowedIPs)
	if p.Keepalive != 0 {
		w.number(`,"keepalive":`, p.Keepalive)
	}
	w.number(`,"mtu":`, p.MTU)
	w.number(`,"underlay":`, p.Underlay)
	w.number(`,"overhead":`, p.Overhead)
	if p.Standby {
		w.text(`,"standby":true`)
	}
	w.text(`}`)
}

func (w *writer) route(r *Route) {
	w.value(`{"device":`, r.Device)
	w.value(`,"peer":`, r.Peer)
	w.number(`,"mtu":`, r.MTU)
	w.list(`,"prefixes":`, r.Prefixes)
	w.text(`}`)
}

func (w *writer) rule(r Rule) {
	w.number(`{"id":`, r.ID)
	w.value(`,"direction":`, r.Direction)
	w.list(`,"from":`, r.From)
	w.list(`,"to":`, r.To)
	if len(r.Services) > 0 {
		w.value(`,"services":`, r.Services)
	}
	w.text(`}`)
}

// each writes a list of things that are written by hand.
func each[T any](w *writer, name string, list []T, write func(T)) {
	w.text(name)
	if list == nil {
		w.text(`null`)
		return
	}
	w.text(`[`)
	for i, x := range list {
		if i > 0 {
			w.text(`,`)
		}
		write(x)
	}
	w.text(`]`)
}

func (w *writer) list(name string, list []netip.Prefix) {
	w.text(name)
	if len(list) == 0 { // null or []
		w.value("", list)
		return
	}
	key := listName{unsafe.SliceData(list), len(list)}
	if w.lists[key] == nil {
		w.lists[key] = encoded(list)
	}
	w.out = append(w.out, w.lists[key]...)
}

func (w *writer) text(s string) { w.out = append(w.out, s...) }

func (w *writer) number(name string, n int) {
	w.out = strconv.AppendInt(append(w.out, name...), int64(n), 10)
}

func (w *writer) value(name string, v any) { w.out = append(append(w.out, name...), encoded(v)...) }
