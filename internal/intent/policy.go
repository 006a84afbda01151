package intent

import (
	"fmt"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/prefixes"
)

// resolved is a selector with what is known of its addresses; nil where it could not be resolved.
type resolved struct {
	Selector
	v4, v6 spread
	named  diag.Position // of a segment
}

// spread says whose addresses of one family a selector holds.
type spread struct {
	place *Place // nil: nobody's
	many  bool   // of several places
}

func (s *spread) add(p *Place) {
	s.many = s.many || s.place != nil && s.place != p
	s.place = p
}

// meets reports whether an address of s and one of o are in different places.
func (s spread) meets(o spread) bool {
	return s.place != nil && o.place != nil && (s.many || o.many || s.place != o.place)
}

func resolve(text string, own []owned) *resolved {
	res := &resolved{Selector: Selector{Text: text}}
	for _, o := range own {
		res.Prefixes = append(res.Prefixes, o.prefix)
		if o.prefix.Addr().Is4() {
			res.v4.add(o.place)
		} else {
			res.v6.add(o.place)
		}
	}
	res.Prefixes = prefixes.Normal(res.Prefixes)
	return res
}

func (r *reader) readSegments() {
	for _, w := range r.spec.Segments {
		if first, taken := r.segments[w.Name.Value]; taken && w.Name.Given() {
			r.twice(w.Name, "segment", first.named)
			continue
		}
		var own []owned
		for _, text := range w.Prefixes {
			prefix, ok := parsed(text)
			if !ok {
				continue
			}
			own = append(own, r.owners.within(prefix)...)
			if addr, none := r.owners.gap(prefix); none && !r.partial {
				r.fail("RW1403", text.At, called("segment", w.Name.Value), fmt.Sprintf("no place owns all of %s: %s has no owner", prefix, addr), "name prefixes that places own, or add it to a place")
			}
		}
		res := resolve("segment/"+w.Name.Value, own)
		res.named = w.Name.At
		r.segments[w.Name.Value] = res
		r.fabric.Segments = append(r.fabric.Segments, Segment{w.Name.Value, res.Prefixes, w.At})
	}
}

// selector gives a parsed selector its addresses. It returns nil where there are none and says so, under the given code where it is
// addresses that nobody owns.
func (r *reader) selector(text fabric.Text, sel fabric.Selector, subject string, unowned diag.Code) *resolved {
	if res := r.cache[text.Value]; res != nil {
		return res
	}
	var res *resolved
	switch {
	case sel.Any:
		res = resolve(text.Value, r.owners)
	case sel.Segment:
		if res = r.segments[sel.Name]; res == nil {
			r.fail("RW1104", text.At, subject, "there is no segment "+sel.Name, r.nearest(sel.Name, r.segmentNames))
			return nil
		}
	case sel.Kind != "":
		p := r.placeOf(text, sel, subject)
		if p == nil {
			return nil
		}
		res = resolve(text.Value, r.ownedBy(p))
	default:
		res = resolve(text.Value, r.owners.within(sel.Prefix.Masked()))
		if len(res.Prefixes) == 0 && !r.partial {
			r.fail(unowned, text.At, subject, fmt.Sprintf("no place owns an address of %s", sel.Prefix), "name addresses inside the prefixes of a place")
		}
	}
	if len(res.Prefixes) == 0 {
		return nil
	}
	r.cache[text.Value] = res
	return res
}

// placeOf looks up the place that a selector names, and holds it to its kind.
func (r *reader) placeOf(text fabric.Text, sel fabric.Selector, subject string) *Place {
	p := r.places[sel.Name]
	switch {
	case len(r.places) == 0:
		return nil
	case p == nil:
		r.fail("RW1103", text.At, subject, fmt.Sprintf("there is no %s %s", sel.Kind, sel.Name), r.nearest(sel.Name, r.placeNames))
		return nil
	case p.Kind != sel.Kind:
		r.fail("RW1103", text.At, subject, fmt.Sprintf("%s is a %s, not a %s", sel.Name, p.Kind, sel.Kind), fmt.Sprintf("write %s/%s", p.Kind, sel.Name))
		return nil
	}
	return p
}

func (r *reader) segmentNames() []string {
	var names []string
	for _, s := range r.fabric.Segments {
		if fabric.ValidName(s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}

func (r *reader) ownedBy(p *Place) []owned {
	own := make([]owned, len(p.Prefixes))
	for i, prefix := range p.Prefixes {
		own[i] = owned{prefix: prefix, place: p}
	}
	return own
}

func (r *reader) readAccess() {
	for i, w := range r.spec.Access {
		subject := fmt.Sprintf("access %d", i+1)
		from := r.end(w.From, subject, "RW1402")
		to := r.end(w.To, subject, "RW1402")
		a := Access{Position: w.At}
		for _, text := range w.Ports {
			if service, err := fabric.ParseService(text.Value); err == nil {
				a.Services = append(a.Services, service)
			}
		}
		if from == nil || to == nil {
			continue
		}
		r.crosses(from, to, subject, w.At)
		a.From, a.To = from.Selector, to.Selector
		r.fabric.Access = append(r.fabric.Access, a)
	}
}

// end resolves the selector of one end.
func (r *reader) end(text fabric.Text, subject string, unowned diag.Code) *resolved {
	sel, err := fabric.ParseSelector(text.Value)
	if err != nil || !text.Given() { // Parse reported it
		return nil
	}
	return r.selector(text, sel, subject, unowned)
}

// crosses warns of an entry about nothing that ever crosses the fabric.
func (r *reader) crosses(from, to *resolved, subject string, at diag.Position) {
	if r.partial || from.v4.meets(to.v4) || from.v6.meets(to.v6) {
		return
	}
	message := "no address of one end has one of the same family in another place at the other"
	if p := from.only(); p != nil && p == to.only() {
		message = "both ends are in " + p.subject() + ", and traffic within a place does not cross the fabric"
	}
	r.warn("RW1407", at, subject, message, "correct or remove it")
}

// only returns the place of all addresses of a selector, or nil where they are in several.
func (res *resolved) only() *Place {
	a, b := res.v4, res.v6
	switch {
	case a.many || b.many || a.place != nil && b.place != nil && a.place != b.place:
		return nil
	case a.place != nil:
		return a.place
	}
	return b.place
}

func (r *reader) readTests() {
	for i, w := range r.spec.Tests {
		subject := fmt.Sprintf("test %d", i+1)
		from := r.end(w.From, subject, "RW1406")
		sel, service, err := fabric.ParseTarget(w.To.Value)
		var to *resolved
		if err == nil && w.To.Given() {
			to = r.target(w.To, sel, service, subject)
		}
		t := Test{Service: service, Expect: Expectation(w.Expect.Value), Symmetric: w.Symmetric.Value, MTU: w.MTU.Value, Position: w.At}
		if t.Expect == Denied && (t.Symmetric || t.MTU > 0) {
			r.warn("RW1408", w.Expect.At, subject, "a denied path has neither symmetry nor an MTU", "remove symmetric and mtu, or expect reachable")
		}
		if from == nil || to == nil {
			continue
		}
		r.crosses(from, to, subject, w.At)
		t.From, t.To = from.Selector, to.Selector
		r.fabric.Tests = append(r.fabric.Tests, t)
	}
}

// target resolves what a test aims at. With a service the text is no selector's, so the address stands in for it.
func (r *reader) target(text fabric.Text, sel fabric.Selector, service *fabric.Service, subject string) *resolved {
	address := text
	if service != nil {
		address.Value = sel.Prefix.Addr().String()
	}
	to := r.selector(address, sel, subject, "RW1406")
	if to == nil || service == nil {
		return to
	}
	named := *to
	named.Text = text.Value
	return &named
}
