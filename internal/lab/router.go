package lab

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ropeway/internal/files"
	"ropeway/internal/lab/world"
)

// The router of a place whose gateways speak BGP is BIRD as the distribution ships it: somebody else's router, configured as its owner would, which knows
// nothing of fabrics. What the gateways' daemons make of plans is held against it.

// routerProgram is looked for in PATH and where Debian puts it, which is not in everybody's PATH.
const (
	routerProgram = "bird"
	routerDir     = "/usr/sbin"
)

// routerHome holds the files of a router: its configuration, control socket and log.
func routerHome(lab string, s world.Speaker) string {
	return filepath.Join(home(lab), "routers", strings.ReplaceAll(s.Space, "/", "."))
}

// findRouter returns the path of BIRD.
func findRouter() (string, error) {
	for _, name := range []string{routerProgram, filepath.Join(routerDir, routerProgram)} {
		if path, err := exec.LookPath(name); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", problem("RW5005", "program "+routerProgram, "the lab runs BIRD 2 as the router of a place that speaks BGP, and it is not there", "apt-get install bird2")
}

// startRouters starts every router that speaks.
func (l *Lab) startRouters() error {
	if len(l.record.World.Speakers) == 0 {
		return nil
	}
	program, err := findRouter()
	if err != nil {
		return err
	}
	for _, s := range l.record.World.Speakers {
		if err := l.writeRouter(s); err != nil {
			return err
		}
		// In the foreground of its own session it is a process of the lab as any other: it ends with them.
		cmd := exec.Command(program, "-f", "-c", "bird.conf", "-s", "bird.ctl", "-P", "bird.pid") //nolint:noctx // it outlives every context
		cmd.Dir = routerHome(l.Name, s)                                                           // so that names stay short: that of a socket has at most 107 bytes (unix(7))
		if err := l.startDaemon(s.Space, filepath.Join(cmd.Dir, "bird.log"), cmd, nil); err != nil {
			return fmt.Errorf("start the router %s: %w", s.Space, err)
		}
	}
	return nil
}

// renewRouters gives every router that speaks its configuration of now. BIRD keeps the sessions whose settings did not change.
func (l *Lab) renewRouters() error {
	for _, s := range l.record.World.Speakers {
		if err := l.writeRouter(s); err != nil {
			return err
		}
		if err := l.onMachine(s.Space, func(pid int) error { return unix.Kill(pid, unix.SIGHUP) }); err != nil {
			return fmt.Errorf("renew the router %s: %w", s.Space, err)
		}
	}
	return nil
}

func (l *Lab) writeRouter(s world.Speaker) error {
	dir := routerHome(l.Name, s)
	if err := files.SecretDir(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := files.SecretDir(dir); err != nil {
		return err
	}
	passwords := map[string]string{}
	for _, n := range s.Sessions {
		if n.Password == "" {
			continue
		}
		secret, err := l.password(n.Password)
		if err != nil {
			return err
		}
		keys := filepath.Join(machineDir(l.Name, n.Gateway), stateDir, "keys")
		if err := errors.Join(os.MkdirAll(keys, 0o700), files.Replace(filepath.Join(keys, n.Password+passwordEnd), []byte(secret+"\n"), 0o600)); err != nil {
			return fmt.Errorf("give gateway %s the password %s: %w", n.Gateway, n.Password, err)
		}
		passwords[n.Password] = secret
	}
	return files.Replace(filepath.Join(dir, "bird.conf"), []byte(birdConf(s, passwords)), 0o600)
}

// passwordEnd ends the name of a file that holds a TCP MD5 password, among the keys of a gateway and beside the lab's routers.
const passwordEnd = ".password"

// password returns the password of a name, which the lab makes up when it is first asked for: routers and gateways get the same.
func (l *Lab) password(name string) (string, error) {
	file := filepath.Join(home(l.Name), "routers", name+passwordEnd)
	known, err := files.Read(file, 256)
	if err == nil {
		return string(known), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the password %s: %w", name, err)
	}
	secret := rand.Text()
	return secret, files.Replace(file, []byte(secret), 0o600)
}

// birdConf is the configuration of a router. Nothing in it is text from outside: addresses, numbers, DNS labels, and passwords of the lab's own.
//
// BIRD's own order of routes is the one that is wanted: local preference, the length of the AS path, then the metric among those of one AS, as all gateways of a place are.
// What is alike in all of it shares packets (merge paths).
func birdConf(s world.Speaker, passwords map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `log stderr all;
router id %s;
protocol device { }
protocol direct { ipv4; ipv6; }
protocol bfd { }
filter heard {
	if bgp_community ~ [(65535, 0)] then bgp_local_pref = 0; # GRACEFUL_SHUTDOWN (RFC 8326)
	accept;
}
`, s.RouterID)
	for _, family := range []string{"ipv4", "ipv6"} {
		fmt.Fprintf(&b, "protocol kernel { %s { import none; export where source = RTS_BGP; }; merge paths on; }\n", family)
		if own := announced(s, family); len(own) > 0 {
			fmt.Fprintf(&b, "protocol static { %s;\n", family)
			for _, p := range own {
				fmt.Fprintf(&b, "\troute %s unreachable;\n", p)
			}
			b.WriteString("}\n")
		}
	}
	for i, n := range s.Sessions {
		birdSession(&b, i+1, n, passwords[n.Password])
	}
	return b.String()
}

func birdSession(b *strings.Builder, number int, n world.Session, password string) {
	fmt.Fprintf(b, "protocol bgp s%d { # with %s\n\tlocal %s as %d;\n\tneighbor %s as %d;\n", number, n.Gateway, n.Local, n.LocalASN, n.Remote, n.RemoteASN)
	if n.Multihop {
		b.WriteString("\tmultihop 2;\n")
	} else {
		b.WriteString("\tdirect; check link no;\n") // no router of a cloud sees that a machine has lost its carrier
	}
	// A router that waits long to try again would hide how fast a gateway is back.
	b.WriteString("\thold time 9; connect delay time 1; connect retry time 1; error wait time 1, 2;\n")
	if n.BFD != nil {
		fmt.Fprintf(b, "\tbfd { interval %d ms; multiplier %d; };\n", n.BFD.Interval, n.BFD.Multiplier)
	}
	if password != "" {
		fmt.Fprintf(b, "\tpassword \"%s\";\n", password)
	}
	export := "none"
	if len(n.Announce) > 0 {
		texts := make([]string, len(n.Announce))
		for i, p := range n.Announce {
			texts[i] = p.String()
		}
		export = fmt.Sprintf("where source = RTS_STATIC && net ~ [ %s ]", strings.Join(texts, ", "))
	}
	fmt.Fprintf(b, "\t%s { import filter heard; export %s; };\n}\n", birdFamily(n.Local), export)
}

// announced returns what a router announces in a family, each prefix once.
func announced(s world.Speaker, family string) []netip.Prefix {
	seen := map[netip.Prefix]bool{}
	var out []netip.Prefix
	for _, n := range s.Sessions {
		for _, p := range n.Announce {
			if birdFamily(p.Addr()) == family && !seen[p] {
				seen[p] = true
				out = append(out, p)
			}
		}
	}
	return out
}

func birdFamily(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}
