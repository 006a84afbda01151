package netns

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

func create(t *testing.T, name string) *Space {
	t.Helper()
	needRoot(t)
	if err := Create(name, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Delete(name); err != nil {
			t.Error(err)
		}
	})
	s, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestDoRunsInsideAndComesBack(t *testing.T) {
	s := create(t, fmt.Sprintf("rwt.%d.do", os.Getpid()))
	outside, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.ID()
	if err != nil {
		t.Fatal(err)
	}
	var g errgroup.Group
	for range 64 {
		g.Go(func() error {
			err := s.Do(func() error {
				inside, err := os.Readlink("/proc/thread-self/ns/net")
				if want := fmt.Sprintf("net:[%d]", id); err == nil && inside != want {
					return fmt.Errorf("inside: %s, want %s", inside, want)
				}
				return err
			})
			if after, _ := os.Readlink("/proc/thread-self/ns/net"); err == nil && after != outside {
				return fmt.Errorf("after: %s, want %s", after, outside)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestASocketStaysWhereItWasMade(t *testing.T) {
	s := create(t, fmt.Sprintf("rwt.%d.sock", os.Getpid()))
	var inside net.PacketConn
	if err := s.Do(func() (err error) {
		inside, err = net.ListenPacket("udp", "[::]:7")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	again, err := net.ListenPacket("udp", "[::]:7") // the same port outside: no clash
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestStartHasItsOwnMounts(t *testing.T) {
	s := create(t, fmt.Sprintf("rwt.%d.start", os.Getpid()))
	from := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(from, []byte("192.0.2.1 lab.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command("sh", "-c", "cat /etc/hosts; ls /sys/class/net")
	cmd.Stdout = &out
	if err := s.Start(cmd, Bind{from, "/etc/hosts"}); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "192.0.2.1 lab.example\nlo\n"; got != want {
		t.Errorf("inside: %q, want %q", got, want)
	}
	if leader, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", os.Getpid())); bytes.Contains(leader, []byte(from)) {
		t.Error("the first thread of the process took part")
	}
	if outside, _ := os.ReadFile("/etc/hosts"); bytes.Contains(outside, []byte("lab.example")) {
		t.Error("the bind reached the machine")
	}
}

func TestCreateRefusesANameThatIsTaken(t *testing.T) {
	name := fmt.Sprintf("rwt.%d.twice", os.Getpid())
	create(t, name)
	if err := Create(name, func() error { return nil }); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want fs.ErrExist", err)
	}
	if names, _ := List(name); len(names) != 1 {
		t.Errorf("after a refused Create: %v", names)
	}
}

func TestAFailedCreateLeavesNothing(t *testing.T) {
	needRoot(t)
	name := fmt.Sprintf("rwt.%d.fail", os.Getpid())
	want := errors.New("no")
	if err := Create(name, func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	if names, _ := List(name); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
	if err := Delete(name); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
}
