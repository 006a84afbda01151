// Package role says who somebody is and what he may call.
//
// An Identity is a role and a name: "gateway/use1-a", "operator/ann". It stands in the certificate of its holder as a URI,
// "ropeway://gateway/use1-a", and nowhere else: no message says who sent it. What an identity may call stands in one table, which
// names every procedure of the API. What the table does not name is denied, so a new procedure is denied until somebody decides.
//
// A role says which procedures; which objects is for the one who serves them. That a gateway hears of itself alone follows from
// GatewayService, whose messages cannot name another gateway.
package role

import (
	"errors"
	"fmt"
	"strings"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
)

// A Role is what somebody is.
type Role string

// The roles. A controller is whom clients call, and may call nothing itself.
const (
	Gateway    Role = "gateway"    // an agent
	Viewer     Role = "viewer"     // sees
	Operator   Role = "operator"   // sees, and changes the fabric
	Admin      Role = "admin"      // sees, changes the fabric, and says who may
	Controller Role = "controller" // a server
)

// ErrFormat is returned for text that is not an identity. Test with errors.Is.
var ErrFormat = errors.New(`not an identity: want "gateway/NAME", "viewer/NAME", "operator/NAME" or "admin/NAME"`)

const scheme = "ropeway://"

// An Identity is somebody. The zero value is nobody, and may what anybody may.
type Identity struct {
	Role Role
	Name string
}

// Parse reads who can have a certificate of a client: "ROLE/NAME", where NAME is a DNS label. It refuses controllers, which nobody enrolls.
func Parse(s string) (Identity, error) {
	id, err := parse(s)
	if err == nil && id.Role == Controller {
		return Identity{}, fmt.Errorf("%s: %w", diag.Quote(s), ErrFormat)
	}
	return id, err
}

// ParseToken reads whom a token can be for: whom Parse reads, or a controller ("controller/NAME"), which gets no certificate for it but the authority
// itself.
func ParseToken(s string) (Identity, error) { return parse(s) }

// FromURI reads what URI returned, for every role.
func FromURI(uri string) (Identity, error) {
	text, ok := strings.CutPrefix(uri, scheme)
	if !ok {
		return Identity{}, fmt.Errorf("%s is no URI of Ropeway's: %w", diag.Quote(uri), ErrFormat)
	}
	return parse(text)
}

func parse(s string) (Identity, error) {
	role, name, _ := strings.Cut(s, "/")
	id := Identity{Role(role), name}
	if !id.Valid() {
		return Identity{}, fmt.Errorf("%s: %w", diag.Quote(s), ErrFormat)
	}
	return id, nil
}

// Valid reports whether the identity is somebody's.
func (id Identity) Valid() bool {
	switch id.Role {
	case Gateway, Viewer, Operator, Admin, Controller:
		return fabric.ValidName(id.Name)
	}
	return false
}

// String returns "ROLE/NAME", or "nobody" for the zero identity.
func (id Identity) String() string {
	if id == (Identity{}) {
		return "nobody"
	}
	return string(id.Role) + "/" + id.Name
}

// URI returns the form that stands in certificates.
func (id Identity) URI() string { return scheme + id.String() }
