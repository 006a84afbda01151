package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/console"
	"ropeway/internal/fabric"
	"ropeway/internal/intent"
)

// A prefixLine is a row of get prefixes.
type prefixLine struct {
	Prefix   netip.Prefix `json:"prefix"`
	Place    string       `json:"place"`
	Kind     fabric.Kind  `json:"kind"`
	Segments []string     `json:"segments"` // those that hold some of it
	Gateways []string     `json:"gateways"` // of the place
}

func prefixKind() kind {
	return kind{
		name: "prefixes", one: "prefix", short: "Show who owns which addresses", named: "a prefix, an address in it, or that of a place",
		list: listPrefixes, complete: func(ctx context.Context, r *remote) []string { return nil },
	}
}

func listPrefixes(ctx context.Context, v *viewer, name string) (*listing, error) {
	newest, err := v.version(ctx)
	if err != nil {
		return nil, err
	}
	in, lines := newest.side.Intent, []prefixLine{}
	for _, place := range in.Places {
		for _, p := range place.Prefixes {
			if name == "" || name == place.Name || within(p, name) {
				lines = append(lines, prefixLineOf(in, place, p))
			}
		}
	}
	if name != "" && len(lines) == 0 {
		return nil, unknown("prefix", name, "ropeway get prefixes lists those that there are")
	}
	return &listing{value: lines, table: prefixTable(lines), details: func() ([]detail, error) { return describePrefixes(in, lines), nil }}, nil
}

// within reports whether a name is the prefix, part of it, or an address in it.
func within(p netip.Prefix, name string) bool {
	if sub, err := netip.ParsePrefix(name); err == nil {
		return sub.Bits() >= p.Bits() && p.Contains(sub.Addr())
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && p.Contains(addr)
}

func prefixLineOf(in *intent.Fabric, place *intent.Place, p netip.Prefix) prefixLine {
	l := prefixLine{Prefix: p, Place: place.Name, Kind: place.Kind, Segments: []string{}, Gateways: []string{}}
	for _, s := range in.Segments {
		if slices.ContainsFunc(s.Prefixes, p.Overlaps) {
			l.Segments = append(l.Segments, s.Name)
		}
	}
	for _, g := range place.Gateways {
		l.Gateways = append(l.Gateways, g.Name)
	}
	return l
}

func prefixTable(lines []prefixLine) *console.Table {
	t := &console.Table{Columns: []console.Column{{Title: "PREFIX"}, {Title: "PLACE"}, {Title: "KIND", Wide: true}, {Title: "SEGMENTS"}, {Title: "GATEWAYS"}}}
	for _, l := range lines {
		t.Rows = append(t.Rows, []string{l.Prefix.String(), l.Place, string(l.Kind), strings.Join(l.Segments, ", "), some(l.Gateways)})
	}
	return t
}

func describePrefixes(in *intent.Fabric, lines []prefixLine) []detail {
	var out []detail
	for _, l := range lines {
		var may, from []string
		for i, a := range in.Access {
			if slices.ContainsFunc(a.From.Prefixes, l.Prefix.Overlaps) {
				may = append(may, accessText(i, &a))
			}
			if slices.ContainsFunc(a.To.Prefixes, l.Prefix.Overlaps) {
				from = append(from, accessText(i, &a))
			}
		}
		out = append(out, detail{"Prefix " + l.Prefix.String(), []fact{
			{"place", fmt.Sprintf("%s/%s", l.Kind, l.Place)}, {"segments", strings.Join(l.Segments, ", ")}, {"gateways", some(l.Gateways)},
			{"opens flows", strings.Join(may, "\n")}, {"is reached", strings.Join(from, "\n")},
		}})
	}
	return out
}

// accessText writes an access rule: its number, from 1, and what it says.
func accessText(i int, a *intent.Access) string {
	services := "any protocol"
	if len(a.Services) > 0 {
		texts := make([]string, len(a.Services))
		for i, s := range a.Services {
			texts[i] = s.String()
		}
		services = strings.Join(texts, ", ")
	}
	return fmt.Sprintf("access %d: %s → %s, %s", i+1, a.From.Text, a.To.Text, services)
}
