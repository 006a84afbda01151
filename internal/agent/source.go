package agent

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/failpoint"
	"ropeway/internal/files"
	"ropeway/internal/identity"
	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// maxPlan bounds a plan file, in bytes. A gateway of a mesh of 1,000 with 100,000 prefixes takes about a tenth of it.
const maxPlan = 64 << 20

// keptPlan is the name of the last good plan in the state directory.
const keptPlan = "plan.json"

// A Refusal says why the plan file is not what is wanted.
type Refusal struct {
	Code    diag.Code `json:"code"`
	Message string    `json:"message"`
	Since   time.Time `json:"since"`
}

// A source is where plans come from: the plan file, and behind it the last good one. One goroutine uses it.
type source struct {
	file, kept string
	keyOf      func(*plan.Device) (key.Private, error)

	good *plan.Document // the last good plan; nil: none yet
	seen fingerprint    // of the plan file that was read last
	err  error          // what that came to
}

// A fingerprint tells that a file has changed. A change in place moves ctime, a rename brings another inode.
type fingerprint struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
	there        bool
}

func fingerprintOf(path string) fingerprint {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return fingerprint{}
	}
	return fingerprint{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim, true}
}

// restore reads the last good plan. It returns an error where there is one that cannot be used; that there is none is no error.
func (s *source) restore() error {
	data, err := files.Read(s.kept, maxPlan)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var doc *plan.Document
	if err == nil {
		doc, err = plan.Decode(data)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", diag.Problem{Code: codeKeptDamaged, Severity: diag.Error, Subject: "last good plan",
			Message: diag.Quote(s.kept) + " cannot be used", Hint: "the plan file replaces it as soon as that is good"}, err)
	}
	s.good = doc
	return nil
}

// sweep removes what a process that was killed while it replaced a file left beside it (files.Replace writes .NAME.RANDOM first).
func sweep(file string) {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".*")) // the pattern is well formed
	for _, path := range left {
		_ = os.Remove(path) // where it cannot be removed it does no harm
	}
}

// poll reads the plan file where it changed since the last time, and returns the plan in force, whether that is a new one, and
// why the file is not what is in force. A new plan is in force once it is kept on disk: a gateway never goes back to an older
// plan because it was killed.
func (s *source) poll() (good *plan.Document, isNew bool, refused error) {
	now := fingerprintOf(s.file)
	if now == s.seen && now.there && lasts(s.err) {
		return s.good, false, s.err
	}
	doc, data, err := s.read()
	if err == nil && (s.good == nil || s.good.Revision != doc.Revision) {
		err = s.keep(data)
		isNew = err == nil
	}
	if err == nil {
		s.good = doc
	}
	s.seen, s.err = now, err
	return s.good, isNew, err
}

// lasts reports whether reading the same file again would come to the same. Where it was refused for something else than its
// content (a key, the state directory) it may not.
func lasts(err error) bool {
	if err == nil {
		return true
	}
	switch codeOf(err) {
	case codePlanInvalid, codePlanNewer, codePlanForeign, codePlanConflict:
		return true
	}
	return false
}

// read returns the plan of the file and the bytes that it was read from.
func (s *source) read() (*plan.Document, []byte, error) {
	data, err := files.Read(s.file, maxPlan)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", s.refuse(codePlanUnread, "cannot be read", "bring the plan of this gateway here"), err)
	}
	doc, err := plan.Decode(data)
	if errors.Is(err, plan.ErrNewer) {
		return nil, nil, fmt.Errorf("%w: %w", s.refuse(codePlanNewer, "is of a later version of Ropeway", "upgrade ropeway-gateway on this machine"), err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", s.refuse(codePlanInvalid, "is not a plan as it was made", "compile it again and copy it whole"), err)
	}
	if !fabric.ValidName(doc.Fabric) { // the revision does not cover it, so Decode has no opinion
		return nil, nil, s.refuse(codePlanInvalid, "names a fabric that cannot be one: "+diag.Quote(doc.Fabric), "compile it again and copy it whole")
	}
	if err := s.fits(doc); err != nil {
		return nil, nil, err
	}
	return doc, data, nil
}

func (s *source) keep(data []byte) error {
	if err := files.Replace(s.kept, data, 0o600); err != nil {
		return fmt.Errorf("%w: %w", s.refuse(codePlanNotKept, "cannot be kept in the state directory", "check its file system: is it full, or read-only?"), err)
	}
	failpoint.After(keepStep)
	return nil
}

// ownKey finds the key of a device. Where the gateway has none it is made, but only for a plan that leaves the key open: a new key cannot
// be the one that a plan names.
func ownKey(keys identity.Store) func(*plan.Device) (key.Private, error) {
	return func(d *plan.Device) (key.Private, error) {
		if d.PublicKey.IsZero() {
			return keys.OfOrMake(d.Name)
		}
		k, _, err := keys.Of(d.Name)
		return k, err
	}
}

// fits reports whether a valid plan is one for this gateway: named as the last good one, made for the key that is here, and
// without contradiction.
func (s *source) fits(doc *plan.Document) error {
	g := &doc.Gateway
	if last := s.good; last != nil && (last.Gateway.Name != g.Name || last.Fabric != doc.Fabric) {
		p := s.refuse(codePlanForeign, fmt.Sprintf("is for gateway %s of fabric %s, and this is gateway %s of fabric %s",
			g.Name, diag.Quote(doc.Fabric), last.Gateway.Name, diag.Quote(last.Fabric)),
			"copy the right plan here; to make this machine another gateway, run down and remove "+diag.Quote(s.kept))
		return p
	}
	if len(g.Devices) == 0 {
		return s.refuse(codePlanConflict, "has no device", "to take the gateway down, end the agent and run: ropeway-gateway down")
	}
	ports := map[uint16]string{}
	for i := range g.Devices {
		d := &g.Devices[i]
		if err := s.fitsDevice(d); err != nil {
			return err
		}
		if other, taken := ports[d.ListenPort]; taken {
			return s.refuse(codePlanConflict, fmt.Sprintf("gives UDP port %d to two devices, %s and %s", d.ListenPort, other, d.Name),
				"compile it again; a compiler that writes such a plan has an error")
		}
		ports[d.ListenPort] = d.Name
	}
	return nil
}

func (s *source) fitsDevice(d *plan.Device) error {
	private, err := s.keyOf(d)
	if errors.Is(err, identity.ErrMissing) {
		return s.refuse(codePlanKey, fmt.Sprintf("expects public key %s for device %s, and this gateway has no private key", d.PublicKey, d.Name),
			"make one (ropeway-gateway key), make it known to the fabric and bring the new plan here")
	}
	if err != nil {
		return err
	}
	secret, named := private.Reveal(), d.PublicKey.Bytes()
	if subtle.ConstantTimeCompare(secret[:], named[:]) == 1 {
		return s.refuse(codeKeyExposed, "holds the private key of device "+d.Name+" in the place of its public key",
			"everybody who has seen the plan may know it: move the key file away, have a new one made and make its public key known to the fabric")
	}
	own := private.Public()
	if !d.PublicKey.IsZero() && d.PublicKey != own {
		return otherKey(d, own)
	}
	return s.consistent(d, own)
}

// consistent refuses a device of which two peers are one, or have one prefix: WireGuard gives it to the one that comes last, and
// says nothing.
func (s *source) consistent(d *plan.Device, own key.Public) error {
	keys, prefixes := map[key.Public]string{own: "this gateway"}, map[netip.Prefix]string{}
	for _, p := range d.Peers {
		if other, taken := keys[p.PublicKey]; taken {
			return s.refuse(codePlanConflict, fmt.Sprintf("gives peer %s of device %s the key of %s", p.Gateway, d.Name, other),
				"every gateway has a key of its own: run ropeway-gateway key on both, and compile again")
		}
		if !p.PublicKey.IsZero() {
			keys[p.PublicKey] = p.Gateway
		}
		for _, a := range p.AllowedIPs {
			if other, taken := prefixes[a]; taken {
				return s.refuse(codePlanConflict, fmt.Sprintf("gives prefix %s to two peers of device %s, %s and %s", a, d.Name, other, p.Gateway),
					"compile it again; a compiler that writes such a plan has an error")
			}
			prefixes[a] = p.Gateway
		}
	}
	return nil
}

func (s *source) refuse(code diag.Code, what, hint string) diag.Problem {
	return diag.Problem{Code: code, Severity: diag.Error, Subject: "plan " + diag.Quote(s.file), Message: what, Hint: hint}
}
