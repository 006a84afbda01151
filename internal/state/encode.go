package state

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/key"
)

// maxLock bounds a lock file: one of 10,000 gateways takes about 4 MiB with the file that was accepted.
const maxLock = 64 << 20

// Parse reads a lock file. Whatever Encode would not write is refused with a diag.Problem: a lock is the memory of who has which
// address and key, so a guess would be worse than a refusal.
func Parse(name string, data []byte) (*Lock, error) {
	refuse := func(code diag.Code, message, hint string) error {
		return diag.Problem{Code: code, Severity: diag.Error, Subject: "lock file", Message: message, Hint: hint, Position: diag.Position{File: name}}
	}
	const restore = "restore it from version control"
	if len(data) > maxLock {
		return nil, refuse("RW2001", fmt.Sprintf("it is larger than %d MiB", maxLock>>20), restore)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var l Lock
	if err := dec.Decode(&l); err != nil {
		return nil, refuse("RW2001", "it is not a lock file of this version: "+diag.Quote(err.Error()), restore)
	}
	if dec.More() {
		return nil, refuse("RW2001", "there is text after its end", restore+"; two versions may have been merged")
	}
	if why := l.check(); why != "" {
		return nil, refuse("RW2002", why, restore+"; two branches may have given out the same number: keep one side, then run plan again")
	}
	return &l, nil
}

// check returns what makes a lock contradict itself, or "".
func (l *Lock) check() string {
	if !fabric.ValidName(l.Fabric) {
		return "the fabric's name " + diag.Quote(l.Fabric) + " is not a DNS label"
	}
	if why := cmp.Or(checkNumbers(l.Places, l.Gateways), checkLinks(l.Links)); why != "" {
		return why
	}
	if a := l.Accepted; a != nil {
		if why := cmp.Or(checkNumbers(a.Places, a.Gateways), checkLinks(a.Links)); why != "" {
			return "in what was accepted, " + why
		}
	}
	return ""
}

func checkNumbers(places map[string]int, gateways map[string]Gateway) string {
	byOrdinal, byIndex, byKey := map[int]string{}, map[int]string{}, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(places)) {
		n := places[name]
		if other, taken := byOrdinal[n]; taken || n < 0 || !fabric.ValidName(name) {
			return fmt.Sprintf("place %s has ordinal %d, which is negative or that of place %s", diag.Quote(name), n, diag.Quote(other))
		}
		byOrdinal[n] = name
	}
	for _, name := range slices.Sorted(maps.Keys(gateways)) {
		g := gateways[name]
		if other, taken := byIndex[g.Index]; taken || g.Index < 0 || !fabric.ValidName(name) {
			return fmt.Sprintf("gateway %s has index %d, which is negative or that of gateway %s", diag.Quote(name), g.Index, diag.Quote(other))
		}
		if g.Index > 0 { // 0: only a key is known yet
			byIndex[g.Index] = name
		}
		if k := g.PublicKey.String(); k != "" {
			if other, taken := byKey[k]; taken {
				return fmt.Sprintf("gateways %s and %s have the same public key", diag.Quote(other), diag.Quote(name))
			}
			byKey[k] = name
		}
	}
	return ""
}

// checkLinks sees that no two links have the same number, and no two of a gateway the same port.
func checkLinks(links map[string]Link) string {
	type socket struct {
		gateway string
		port    int
	}
	byNumber, byPort := map[int]string{}, map[socket]string{}
	for _, name := range slices.Sorted(maps.Keys(links)) {
		l := links[name]
		ends := strings.Fields(name)
		if len(ends) < 2 || !fabric.ValidName(ends[0]) || !fabric.ValidName(ends[1]) || l.Ports[0] < 0 || l.Ports[1] < 0 {
			return fmt.Sprintf("link %s does not name two gateways and their ports", diag.Quote(name))
		}
		if other, taken := byNumber[l.Number]; taken || l.Number < 1 {
			return fmt.Sprintf("link %s has number %d, which is less than 1 or that of link %s", diag.Quote(name), l.Number, diag.Quote(other))
		}
		byNumber[l.Number] = name
		for end, port := range l.Ports {
			at := socket{ends[end], port}
			if other, taken := byPort[at]; taken {
				return fmt.Sprintf("links %s and %s have the same port at %s", diag.Quote(other), diag.Quote(name), ends[end])
			}
			byPort[at] = name
		}
	}
	return ""
}

// Encode returns the lock as indented JSON with sorted keys, so that version control shows what changed and nothing else.
func (l *Lock) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(l); err != nil {
		return nil, fmt.Errorf("encode the lock of fabric %s: %w", l.Fabric, err)
	}
	return b.Bytes(), nil
}

// Accept returns a lock that remembers a fabric file as accepted, with the numbers and keys it was compiled with.
func (l *Lock) Accept(source []byte, revisions map[string]string) *Lock {
	next := *l
	next.Accepted = &Accepted{
		Source:    strings.Split(string(source), "\n"),
		Places:    maps.Clone(l.Places),
		Gateways:  maps.Clone(l.Gateways),
		Links:     maps.Clone(l.Links),
		Revisions: revisions,
	}
	return &next
}

// Before returns the lock as it was when the accepted file was compiled, and that file; ok is false where none was accepted.
func (l *Lock) Before() (lock *Lock, source []byte, ok bool) {
	if l == nil || l.Accepted == nil {
		return nil, nil, false
	}
	a := l.Accepted
	return &Lock{Fabric: l.Fabric, Places: a.Places, Gateways: a.Gateways, Links: a.Links}, []byte(strings.Join(a.Source, "\n")), true
}

// With returns a lock that knows the public key of a gateway.
func (l *Lock) With(gateway string, public key.Public) *Lock {
	next := *l
	next.Gateways = maps.Clone(l.Gateways)
	if next.Gateways == nil {
		next.Gateways = map[string]Gateway{}
	}
	known := next.Gateways[gateway]
	known.PublicKey = public
	next.Gateways[gateway] = known
	return &next
}
