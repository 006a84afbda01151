package main

import (
	"context"
	"strings"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/console"
)

// A revisionLine is a row of get revisions.
type revisionLine struct {
	Number   uint64    `json:"number"`
	At       time.Time `json:"at"`
	Author   string    `json:"author"`
	Kind     string    `json:"kind"`
	Override []string  `json:"override,omitempty"`
	Reason   string    `json:"reason,omitempty"`
}

func (v *version) row() revisionLine {
	return revisionLine{v.number, v.at, v.author, v.kind, v.override, v.reason}
}

// usualRevisions is how many revisions are listed.
const usualRevisions = 20

func revisionKind() kind {
	return kind{
		name: "revisions", one: "revision", short: "Show what changed the fabric, the newest first", named: "the number of a revision",
		list: listRevisions, complete: revisionNumbers,
	}
}

func listRevisions(ctx context.Context, v *viewer, name string) (*listing, error) {
	req := &ropewayv1.ListRevisionsRequest{Limit: usualRevisions}
	if limit, err := v.cmd.Flags().GetUint32("limit"); err == nil {
		req.Limit = limit
	}
	if name != "" {
		n, err := parseRevision(name)
		if err != nil {
			return nil, err
		}
		req.Limit, req.Before = 1, n+1
	}
	answer, err := v.remote.fabric.ListRevisions(ctx, req)
	if err != nil {
		return nil, err
	}
	lines := []revisionLine{}
	for _, x := range answer.Revisions {
		if name == "" || number(x.Number) == name {
			lines = append(lines, versionOf(x).row())
		}
	}
	if name != "" && len(lines) == 0 {
		return nil, noRevision(req.Before - 1)
	}
	return &listing{value: lines, table: revisionTable(lines), details: func() ([]detail, error) { return describeRevisions(lines), nil }}, nil
}

func revisionTable(lines []revisionLine) *console.Table {
	t := &console.Table{Columns: []console.Column{{Title: "REVISION"}, {Title: "AT"}, {Title: "AUTHOR"}, {Title: "BY"}, {Title: "OVERRIDES", Wide: true}, {Title: "REASON"}}}
	for _, l := range lines {
		t.Rows = append(t.Rows, []string{number(l.Number), stamp(l.At), console.Visible(l.Author), l.Kind, console.Visible(strings.Join(l.Override, ", ")), console.Visible(l.Reason)})
	}
	return t
}

func describeRevisions(lines []revisionLine) []detail {
	var out []detail
	for _, l := range lines {
		out = append(out, detail{"Revision " + number(l.Number), []fact{
			{"at", stamp(l.At)}, {"author", console.Visible(l.Author)}, {"by", console.Visible(l.Kind)},
			{"overrides", console.Visible(strings.Join(l.Override, ", "))}, {"reason", console.Visible(l.Reason)},
			{"more", "ropeway show " + number(l.Number) + " [--plan]"},
		}})
	}
	return out
}
