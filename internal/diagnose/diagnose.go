package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Diagnose returns what is wrong.
func Diagnose(f Facts) *Verdict {
	f.Gateways = slices.SortedFunc(slices.Values(f.Gateways), func(a, b Gateway) int { return strings.Compare(a.Name, b.Name) })
	d := &doctor{facts: f, byName: map[string]*Gateway{}, explained: map[string]bool{}}
	for i := range f.Gateways {
		d.byName[f.Gateways[i].Name] = &f.Gateways[i]
	}
	d.controllers()
	d.store()
	switch {
	case f.Revision == 0:
		d.note(Cause{Weight: Waiting, Subject: "fabric", What: "the controller keeps none yet", Next: "apply one: ropeway apply FILE"})
	case !d.everybody():
		d.places()
	}
	d.signatures()
	d.tunnels()
	d.single()
	d.sessions()
	d.sort()
	well := !slices.ContainsFunc(d.causes, func(c Cause) bool { return c.Weight != Notice })
	return &Verdict{Well: well, Causes: append([]Cause{}, d.causes...)}
}

// A doctor collects causes, from what explains most to what explains itself alone.
type doctor struct {
	facts     Facts
	byName    map[string]*Gateway
	explained map[string]bool // gateways
	causes    []Cause
}

func (d *doctor) note(c Cause) { d.causes = append(d.causes, c) }

func (d *doctor) controllers() {
	for _, c := range d.facts.Controllers {
		if c.Why != "" {
			d.note(Cause{Weight: Fault, Subject: "controller " + c.Name, What: c.Why, Next: "is it up, and reachable from here? ropeway cluster status"})
		}
	}
}

// nearlyFull is the part of its quota, in percent, from which a store is spoken of. A full one takes no change.
const nearlyFull = 80

func (d *doctor) store() {
	s := d.facts.Store
	if s.Quota <= 0 || s.Size*100/s.Quota < nearlyFull {
		return
	}
	d.note(Cause{Weight: Fault, Subject: "store", What: fmt.Sprintf("it takes %d %% of its quota; a full one refuses every change", s.Size*100/s.Quota),
		Next: "raise the quota, or have space reclaimed"})
}

// signatures finds what waits for somebody who signs. A gateway whose key waits is heard by nobody else, whatever it says of itself.
func (d *doctor) signatures() {
	if d.facts.Unsigned {
		d.note(Cause{Weight: Fault, Subject: fmt.Sprintf("revision %d", d.facts.Revision), What: "nobody has signed it as the controllers compile it, for good; gateways keep what they have",
			Next: "ropeway sign"})
	}
	if keys := d.facts.KeysToSign; len(keys) > 0 {
		subject, what := "gateway "+keys[0], "its key waits for somebody who signs the fabric with it, or without it where it was put out"
		if len(keys) > 1 {
			subject, what = count(len(keys), "gateway"), "their keys wait for somebody who signs the fabric with them, or without those that were put out: "+some(keys)
		}
		d.note(Cause{Weight: Waiting, Subject: subject, What: what, Next: "ropeway sign"})
	}
}

// everybody finds out whether all who could be here are away. One cause is likelier than many.
func (d *doctor) everybody() bool {
	var away []*Gateway
	for i := range d.facts.Gateways {
		switch g := &d.facts.Gateways[i]; g.State {
		case Absent:
		case Away:
			away = append(away, g)
		default:
			return false
		}
	}
	if len(away) < 2 {
		return false
	}
	c := Cause{Weight: Outage, Subject: "controller", What: fmt.Sprintf("none of its %s is connected", count(len(away), "gateway")),
		Explains: []string{"gateways go on with what they have; nothing is known of them"}, Next: "can gateways reach its address? Look there before looking at " + count(len(away), "machine")}
	d.explain(&c, away)
	d.note(c)
	return true
}

// places finds those of which no gateway is here.
func (d *doctor) places() {
	here, gone := map[string]bool{}, map[string][]*Gateway{}
	for i := range d.facts.Gateways {
		g := &d.facts.Gateways[i]
		here[g.Place] = here[g.Place] || g.State != Away && g.State != Absent
		gone[g.Place] = append(gone[g.Place], g)
	}
	for place, gateways := range gone {
		met := slices.ContainsFunc(gateways, func(g *Gateway) bool { return g.State == Away })
		if here[place] || !met {
			continue
		}
		what := "its only gateway is away: " + described(gateways)
		if len(gateways) > 1 {
			what = "none of its gateways is here: " + described(gateways)
		}
		c := Cause{Weight: Outage, Subject: "place " + place, What: what, Next: "is the place online, and the agent running there? systemctl status ropeway-gateway"}
		d.explain(&c, gateways)
		d.note(c)
	}
}

// described lists gateways that are not here.
func described(gateways []*Gateway) string {
	var out []string
	for _, g := range gateways {
		text := g.Name
		switch {
		case g.State == Absent:
			text += " (not enrolled)"
		case g.Heard != "":
			text += " (last heard " + g.Heard + ")"
		}
		out = append(out, text)
	}
	return some(out)
}

// single finds what concerns one gateway each, and speaks once of those that have the same.
func (d *doctor) single() {
	type same struct {
		weight     Weight
		what, next string
	}
	groups := map[same][]*Gateway{}
	for i := range d.facts.Gateways {
		g := &d.facts.Gateways[i]
		if d.explained[g.Name] {
			continue
		}
		w, what, next := g.trouble()
		if w != "" {
			groups[same{w, what, next}] = append(groups[same{w, what, next}], g)
		}
	}
	for s, gateways := range groups {
		c := Cause{Weight: s.weight, Subject: "gateway " + gateways[0].Name, What: s.what, Next: s.next}
		if len(gateways) > 1 {
			c.Subject, c.What = count(len(gateways), "gateway"), "each of them "+s.what+": "+some(names(gateways))
		}
		if len(gateways) == 1 && gateways[0].State == Away && gateways[0].Heard != "" {
			c.What += ", last heard " + gateways[0].Heard
		}
		c.gateways = len(gateways)
		if g := gateways[0]; s.weight != Notice && g.State != Behind || g.Stands > 0 { // else packets pass as they did
			d.explain(&c, gateways)
		}
		d.note(c)
	}
}

// trouble returns what is wrong with a gateway by itself; no weight means nothing.
func (g *Gateway) trouble() (w Weight, what, next string) {
	if g.State != Away && g.State != Absent {
		if w, what, next = g.routing(); w == Fault {
			return w, what, next
		}
	}
	switch {
	case g.State == Ill || g.Stands > 0:
		what = "is not as its plan says"
		if g.Message != "" {
			what += ": " + g.Message
		}
		return Fault, what, "ropeway drift; on the gateway: ropeway-gateway status"
	case g.State == Away:
		return Fault, "is away; it goes on with what it has", "is the machine up, and its agent running? systemctl status ropeway-gateway"
	case g.State == Absent:
		return Waiting, "was not enrolled yet", "ropeway token create --gateway NAME, then on the machine: ropeway-gateway enroll"
	case g.Pending:
		return Waiting, "has no key that others know", "let it enroll again: ropeway token create --gateway NAME --replace"
	case g.State == Behind && g.Hindrance != "":
		return Fault, fmt.Sprintf("does not follow revision %d: %s", g.Wants, g.Hindrance), g.remedy()
	case g.State == Behind:
		return Waiting, fmt.Sprintf("has not said yet that it follows revision %d", g.Wants), "wait some seconds; then, on the gateway: ropeway-gateway status"
	case g.Undone > 0 && w == "":
		return Notice, "found changes that nobody asked for, and undid them", "ropeway drift shows them: who else configures the machine?"
	}
	return w, what, next
}

// remedy is what there is to do about what keeps a gateway behind.
func (g *Gateway) remedy() string {
	if strings.HasPrefix(g.Hindrance, "RW4020 ") {
		return "find out how the plan keeps it from its controllers, and apply another; where it was something else: ropeway rollout retry " + g.Name
	}
	return "upgrade ropeway-gateway on its machine"
}

// explain notes that a cause explains how some gateways are, and the links that end there.
func (d *doctor) explain(c *Cause, gateways []*Gateway) {
	mine := map[string]bool{}
	for _, g := range gateways {
		d.explained[g.Name], mine[g.Name] = true, true
	}
	c.gateways = len(gateways)
	others := map[string]bool{} // places that speak through them
	for _, l := range d.facts.Links {
		if !mine[l.A] && !mine[l.B] {
			continue
		}
		c.links++
		far := l.A
		if mine[far] {
			far = l.B
		}
		if o := d.byName[far]; o != nil && l.Carries && !mine[far] {
			others[o.Place] = true
		}
	}
	if c.links == 0 {
		return
	}
	text := count(c.links, "link") + " " + plural(c.links, "ends", "end") + " there"
	if len(others) > 0 {
		text += ", and carry to and from " + some(sorted(others))
		if c.links == 1 {
			text = strings.Replace(text, "and carry", "and carries", 1)
		}
	}
	c.Explains = append(c.Explains, text)
}

// sort puts the heaviest first, and of those the one that explains most.
func (d *doctor) sort() {
	order := []Weight{Outage, Fault, Waiting, Notice}
	slices.SortFunc(d.causes, func(a, b Cause) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.Weight), slices.Index(order, b.Weight)),
			cmp.Compare(b.gateways, a.gateways), cmp.Compare(b.links, a.links),
			strings.Compare(a.Subject, b.Subject), strings.Compare(a.What, b.What),
		)
	})
}
