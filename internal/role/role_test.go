package role_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"ropeway/internal/role"
)

func TestIdentities(t *testing.T) {
	for text, want := range map[string]role.Identity{
		"gateway/use1-a":                   {Role: role.Gateway, Name: "use1-a"},
		"viewer/0":                         {Role: role.Viewer, Name: "0"},
		"operator/ann":                     {Role: role.Operator, Name: "ann"},
		"admin/" + strings.Repeat("a", 63): {Role: role.Admin, Name: strings.Repeat("a", 63)},
	} {
		id, err := role.Parse(text)
		if err != nil || id != want || id.String() != text || !id.Valid() {
			t.Errorf("%s is %+v, %v", text, id, err)
		}
		uri, err := url.Parse(id.URI()) // as certificates carry it
		if err != nil || uri.String() != "ropeway://"+text {
			t.Errorf("%s has the URI %v, %v", text, uri, err)
		}
		if again, err := role.FromURI(uri.String()); err != nil || again != id {
			t.Errorf("%s comes back as %+v, %v", uri, again, err)
		}
	}
}

func TestHostileIdentities(t *testing.T) {
	for _, text := range []string{
		"", "/", "nobody", "gateway", "gateway/", "/use1-a", "root/ann", "Admin/ann", "admin/Ann", "admin /ann", "admin/ann ", "admin/ann/", "admin/ann/x",
		"admin//ann", "admin/../admin", "admin/ann\n", "admin/ann\x00", "admin/-", "admin/a_b", "admin/a.b", "admin/ä", "admin/%61", "admin/ann?x",
		"admin/ann#x", "admin/$(id)", "admin/" + strings.Repeat("a", 64), "admin/\u202enna", "controller/a/b", "ropeway://admin/ann",
	} {
		if id, err := role.Parse(text); !errors.Is(err, role.ErrFormat) || id != (role.Identity{}) {
			t.Errorf("%q was taken for %v: %v", text, id, err)
		} else if strings.ContainsAny(err.Error(), "\n\x00\u202e") {
			t.Errorf("%q is repeated as it was", text)
		}
		if id, err := role.FromURI("ropeway://" + text); !errors.Is(err, role.ErrFormat) || id != (role.Identity{}) {
			t.Errorf("the URI of %q was taken for %v: %v", text, id, err)
		}
	}
	for _, uri := range []string{"", "admin/ann", "https://admin/ann", "ropeway:admin/ann", "Ropeway://admin/ann", "ropeway://x@admin/ann", "ropeway://admin:1/ann"} {
		if id, err := role.FromURI(uri); !errors.Is(err, role.ErrFormat) {
			t.Errorf("%q was taken for %v: %v", uri, id, err)
		}
	}
}

// A token for a controller would make a server of whoever redeems it.
func TestNobodyEnrollsAController(t *testing.T) {
	if id, err := role.Parse("controller/a"); !errors.Is(err, role.ErrFormat) {
		t.Errorf("taken for %v: %v", id, err)
	}
	if id, err := role.FromURI("ropeway://controller/a"); err != nil || id.Role != role.Controller {
		t.Errorf("the certificate of a controller names %v: %v", id, err)
	}
}

func FuzzFromURI(f *testing.F) {
	f.Add("ropeway://gateway/use1-a")
	f.Add("ropeway://controller/a")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := role.FromURI(s)
		switch {
		case err == nil && (!id.Valid() || id.URI() != s):
			t.Errorf("%q is %v: two spellings of one identity", s, id)
		case err != nil && id != (role.Identity{}):
			t.Errorf("%q is refused, and %v all the same", s, id)
		}
	})
}
