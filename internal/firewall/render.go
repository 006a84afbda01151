package firewall

import (
	"bytes"
	"fmt"
	"strings"

	"ropeway/internal/diag"
	"ropeway/internal/plan"
)

// TableFamily and TableName are the table that Ropeway owns. It touches no other.
const (
	TableFamily = "inet"
	TableName   = "ropeway"
)

// Render returns the table as text that `nft -f` takes in one transaction and a person reads. Of a plan that is not valid it
// returns a comment that says so, and no table: no name that was not checked reaches a rule.
func Render(g *plan.Gateway) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "#!/usr/sbin/nft -f\n")
	if err := g.Validate(); err != nil {
		fmt.Fprintf(&b, "# Nothing to load: the plan is not valid: %s\n", diag.Quote(err.Error()))
		return b.Bytes()
	}
	table := TableFamily + " " + TableName
	fmt.Fprintf(&b, "# The firewall of gateway %s. Loading it replaces the table %s and leaves every other alone.\n", g.Name, table)
	fmt.Fprintf(&b, "table %s\ndelete table %s\ntable %s {\n", table, table, table)
	Compile(g).write(&b)
	b.WriteString("}\n")
	return b.Bytes()
}

func (r *Ruleset) write(b *bytes.Buffer) {
	for _, c := range r.counters {
		fmt.Fprintf(b, "\tcounter %s { }\n", c)
	}
	for _, s := range r.sets {
		s.write(b)
	}
	for _, c := range r.chains {
		fmt.Fprintf(b, "\n\tchain %s {\n", c.name)
		if c.hook != nil {
			fmt.Fprintf(b, "\t\ttype %s hook %s priority filter; policy accept;\n", c.hook.kind, c.hook.name)
		}
		for _, rule := range c.rules {
			fmt.Fprintf(b, "\t\t%s\n", rule.text())
		}
		b.WriteString("\t}\n")
	}
}

// perLine is how many elements of a set stand on a line: eight IPv4 prefixes take about 120 characters.
const perLine = 8

func (s *set) write(b *bytes.Buffer) {
	name, _, _ := s.kind.properties()
	fmt.Fprintf(b, "\n\tset %s {\n\t\ttype %s\n", s.name, name)
	if s.kind.interval() {
		b.WriteString("\t\tflags interval\n")
	}
	if s.spans.len() > 0 {
		b.WriteString("\t\telements = {")
		for i := range s.spans.len() {
			if i > 0 {
				b.WriteByte(',')
			}
			if i > 0 && i%perLine == 0 {
				b.WriteString("\n\t\t\t")
			} else {
				b.WriteByte(' ')
			}
			b.WriteString(s.spans.at(i).text(s.kind))
		}
		b.WriteString(" }\n")
	}
	b.WriteString("\t}\n")
}

func (r rule) text() string {
	words := make([]string, 0, len(r.statements)+1)
	for _, s := range r.statements {
		words = append(words, s.text())
	}
	if r.comment != "" {
		words = append(words, fmt.Sprintf("comment %q", r.comment))
	}
	return strings.Join(words, " ")
}
