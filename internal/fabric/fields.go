package fabric

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A field is one key of a mapping: what the tags of a struct's field say.
type field struct {
	index       int
	key         string
	required    bool
	one         bool // a list that a single value may stand for
	least, most int  // entries of a list; most 0: no bound
	noun        string
	is          string
	rule        rule
	doc         string
}

// shapes holds the keys of each struct type once they were asked for: reading tags is slow.
type shapes struct {
	rules map[string]rule
	known map[reflect.Type][]field
}

func newShapes() shapes { return shapes{rules(), map[reflect.Type][]field{}} }

// fields returns the keys of a struct type, in order.
func (s shapes) fields(t reflect.Type) []field {
	if known, ok := s.known[t]; ok {
		return known
	}
	var fields []field
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		parts := strings.Split(tag.Get("key"), ",")
		if parts[0] == "" {
			continue
		}
		f := field{index: i, key: parts[0], noun: tag.Get("noun"), is: tag.Get("is"), rule: s.rules[tag.Get("is")], doc: tag.Get("doc")}
		f.required = slices.Contains(parts, "required")
		f.one = slices.Contains(parts, "one")
		least, most, _ := strings.Cut(tag.Get("items"), "-")
		f.least, _ = strconv.Atoi(least)
		f.most, _ = strconv.Atoi(most)
		fields = append(fields, f)
	}
	s.known[t] = fields
	return fields
}

// count says how many entries a list takes.
func (f field) count() string {
	switch {
	case f.most == 0:
		return fmt.Sprintf("at least %d", f.least)
	case f.most == f.least:
		return fmt.Sprintf("exactly %d", f.least)
	}
	return fmt.Sprintf("%d to %d", f.least, f.most)
}

func keys(fields []field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.key
	}
	return names
}
