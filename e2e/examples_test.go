package e2e

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ropeway/internal/intent"
	"ropeway/internal/lab"
)

// up brings up a lab from the command line; the end of the test takes it down and looks for leftovers.
func up(t *testing.T, file, name string, more ...string) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			showAgents(t, name)
		}
		if _, err := os.Stat("/run/ropeway-lab/" + name); err == nil {
			must(t, 0, "lab", "down", "--name", name)
		}
		if left := leftovers(t, name); len(left) > 0 {
			t.Errorf("the lab left %q", left)
		}
	})
	r := must(t, 0, append([]string{"lab", "up", file, "--name", name}, more...)...)
	if strings.Contains(r.errors, "RW5012") {
		t.Errorf("links have not come up:\n%s", r.errors)
	}
}

// showAgents prints what the agents of a lab said last.
func showAgents(t *testing.T, name string) {
	t.Helper()
	logs, _ := filepath.Glob("/run/ropeway-lab/" + name + "/gateways/*/agent.log")
	for _, log := range logs {
		text, err := os.ReadFile(log)
		t.Logf("%s: %v\n%s", log, err, text[max(0, len(text)-4000):])
	}
}

// tested runs lab test and returns its report.
func tested(t *testing.T, code int, name string, more ...string) *lab.Report {
	t.Helper()
	out := must(t, code, append([]string{"lab", "test", "--name", name, "-o", "json"}, more...)...).out
	var r lab.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if bad := disagreements(&r); len(bad) > 0 {
		t.Errorf("packets and prover disagree:\n%s", strings.Join(bad, "\n"))
	}
	if r.OK != (code == 0) {
		t.Errorf("ok is %v with exit code %d", r.OK, code)
	}
	return &r
}

func TestExamplesRunAsProven(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../examples/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			must(t, 0, "verify", file)
			id := labName(name)
			up(t, file, id)
			r := tested(t, 0, id)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, _ := intent.Read(file, text)
			if len(r.Tests) != len(in.Tests) || len(r.Results) == 0 {
				t.Errorf("%d tests and %d flows, of %d tests in the file", len(r.Tests), len(r.Results), len(in.Tests))
			}
			tested(t, 0, id, "--everything")
		})
	}
}

func TestALabThatIsUp(t *testing.T) {
	t.Parallel()
	name := labName("around")
	up(t, "../examples/three-regions.yaml", name)

	t.Run("status", func(t *testing.T) {
		var s lab.Status
		if err := json.Unmarshal([]byte(must(t, 0, "lab", "status", "--name", name, "-o", "json").out), &s); err != nil {
			t.Fatal(err)
		}
		for _, m := range s.Machines {
			if m.Agent != "" && m.Agent != "running" {
				t.Errorf("the agent of %s is %s", m.Name, m.Agent)
			}
		}
		for _, k := range s.Links {
			if !k.Up {
				t.Errorf("link %s %s is not up", k.A, k.B)
			}
		}
		table := must(t, 0, "lab", "status", "--name", name).out
		for _, want := range []string{"use1/host1", "hq-1/nat", "agent running, 6 of 6 links"} {
			if !strings.Contains(table, want) {
				t.Errorf("the table has no %q:\n%s", want, table)
			}
		}
	})
	t.Run("exec", func(t *testing.T) {
		for _, machine := range []string{"use1/host1", "use1", "10.10.4.5", "10.10.0.0/16"} {
			if r := must(t, 0, "lab", "exec", "--name", name, machine, "--", "ip", "-brief", "address"); !strings.Contains(r.out, "10.10.4.5") {
				t.Errorf("on %s: %s", machine, r.out)
			}
		}
		must(t, 0, "lab", "exec", "--name", name, "use1/host1", "--", "ping", "-c1", "-W2", "10.20.0.1")
		must(t, 7, "lab", "exec", "--name", name, "use1/host1", "--", "sh", "-c", "exit 7")
		if r := must(t, 0, "lab", "exec", "--name", name, "use1-a", "--", "ropeway-gateway", "status"); !strings.Contains(r.out, "use1-a") {
			t.Errorf("status on the gateway: %s", r.out)
		}
		if r := must(t, 1, "lab", "exec", "--name", name, "nobody", "--", "true"); !strings.Contains(r.errors, "RW5011") {
			t.Errorf("an unknown machine: %s", r.errors)
		}
		if r := ropeway(t, "lab", "exec", "--name", name, "use1/host1", "--", "no-such-program"); r.code == 0 {
			t.Error("a program that does not exist ran")
		}
	})
	t.Run("nothing secret", func(t *testing.T) {
		secrets := privateKeys(t, name)
		said := must(t, 0, "lab", "status", "--name", name, "-o", "json").out + must(t, 0, "lab", "test", "--name", name, "-o", "json").out
		err := filepath.WalkDir("/run/ropeway-lab/"+name, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && !strings.Contains(path, "/keys/") {
				var data []byte
				data, err = os.ReadFile(path)
				said += string(data)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if strings.Contains(said, secret) {
				t.Error("a private key is in an output, a record or a log")
			}
		}
	})
	t.Run("clash", func(t *testing.T) {
		r := must(t, 1, "lab", "up", "../examples/dual-stack.yaml", "--name", name)
		if !strings.Contains(r.errors, "RW5007") {
			t.Errorf("got %s", r.errors)
		}
		tested(t, 0, name) // and the lab that has the name is as it was
	})
	t.Run("beside another", func(t *testing.T) {
		other := labName("beside")
		up(t, "../examples/three-regions.yaml", other)
		tested(t, 0, other)
		tested(t, 0, name)
		if r := must(t, 1, "lab", "test"); !strings.Contains(r.errors, "RW5013") {
			t.Errorf("two labs and no name: %s", r.errors)
		}
	})
}

// privateKeys returns the key of every gateway of a lab, which only root reads.
func privateKeys(t *testing.T, name string) []string {
	t.Helper()
	files, err := filepath.Glob("/run/ropeway-lab/" + name + "/gateways/*/state/keys/*.key")
	if err != nil || len(files) != 7 {
		t.Fatalf("key files: %v, %v", files, err)
	}
	var out []string
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
		data, err := os.ReadFile(f)
		if key := strings.TrimSpace(string(data)); err != nil || len(key) != 44 {
			t.Fatalf("%s holds no key, or %v", f, err)
		} else {
			out = append(out, key)
		}
	}
	return out
}

func TestBadInputMakesNoLab(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("apiVersion: ropeway/v1\nkind: Fabric\nmetadata: {name: bad}\nspec: {access: [], tpology: {}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := "../examples/three-regions.yaml"
	for name, args := range map[string][]string{
		"RW10":   {"lab", "up", bad},
		"RW5002": {"lab", "up", good, "--name", "../../etc"},
		"RW5005": {"lab", "up", good, "--name", labName("x"), "--agent", "/no/such/agent"},
		"RW6002": {"lab", "up", "/no/such/file.yaml"},
		"RW5003": {"lab", "down", "--name", labName("none")},
	} {
		if r := must(t, 1, args...); !strings.Contains(r.errors, name) {
			t.Errorf("%v: want %s, got %s", args, name, r.errors)
		}
	}
	for _, name := range []string{"a b", "-x", "x;reboot", "x\ny", "é", "", strings.Repeat("a", 64), "a.b", "A"} {
		if name == "" {
			continue
		}
		for _, command := range [][]string{{"lab", "down", "--name"}, {"lab", "test", "--name"}, {"lab", "serve", "--"}} {
			if r := ropeway(t, append(command, name)...); r.code != 1 || !strings.Contains(r.errors, "RW5002") {
				t.Errorf("%v %q: exit %d, %s", command, name, r.code, r.errors)
			}
		}
	}
	if left := leftovers(t, labName("x")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
