package failover

import (
	"os"
	"path/filepath"

	"ropeway/internal/compile"
	"ropeway/internal/files"
	"ropeway/internal/intent"
	"ropeway/internal/lab"
	"ropeway/internal/plan"
)

// gateways returns the names of all gateways.
func (f *rig) gateways() (names []string) {
	f.b.Helper()
	dirs, err := os.ReadDir(filepath.Join(lab.Dir, f.Name, "gateways"))
	if err != nil {
		f.b.Fatal(err)
	}
	for _, d := range dirs {
		names = append(names, d.Name())
	}
	return names
}

// planFile is where a gateway of the lab finds its plan.
func (f *rig) planFile(gateway string) string {
	return filepath.Join(lab.Dir, f.Name, "gateways", gateway, "plan.json")
}

// planOf reads the plan of a gateway.
func (f *rig) planOf(gateway string) *plan.Document {
	f.b.Helper()
	text, err := os.ReadFile(f.planFile(gateway))
	if err != nil {
		f.b.Fatal(err)
	}
	doc, err := plan.Decode(text)
	if err != nil {
		f.b.Fatal(err)
	}
	return doc
}

// compile makes the documents of another fabric file, with the keys that the gateways have.
func (f *rig) compile(text string) map[string][]byte {
	f.b.Helper()
	in, problems := intent.Read("pair.yaml", []byte(text))
	if in == nil {
		f.b.Fatal(problems)
	}
	_, lock := compile.Compile(in, nil)
	for _, name := range f.gateways() {
		entry := lock.Gateways[name]
		entry.PublicKey = f.planOf(name).Gateway.Devices[0].PublicKey
		lock.Gateways[name] = entry
	}
	p, _ := compile.Compile(in, lock)
	out := map[string][]byte{}
	for _, g := range p.Gateways {
		text, err := plan.Encode(p.Name, g)
		if err != nil {
			f.b.Fatal(err)
		}
		out[g.Name] = text
	}
	return out
}

// bring puts plans where their gateways look for them.
func (f *rig) bring(documents map[string][]byte) {
	f.b.Helper()
	for name, text := range documents {
		if err := files.Replace(f.planFile(name), text, 0o600); err != nil {
			f.b.Fatal(err)
		}
	}
}

// carryOut brings every gateway its plan of another fabric file, and waits until all follow theirs.
func (f *rig) carryOut(text string) {
	f.b.Helper()
	f.bring(f.compile(text))
	f.awaitPlans(f.gateways()...)
}

// awaitPlans waits until gateways follow their plans.
func (f *rig) awaitPlans(names ...string) {
	f.b.Helper()
	for _, name := range names {
		want := f.planOf(name).Revision
		f.until(name+" follows its plan", func() bool { return f.status(name).Plan.Applied == want })
	}
}
