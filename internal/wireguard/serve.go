package wireguard

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tailscale/wireguard-go/device"
	"golang.org/x/sys/unix"

	"ropeway/internal/key"
)

// A server is what a userspace device answers with on its control socket.
type server struct {
	*desk
	dev     *device.Device
	roamer  *roamer
	offload string

	mu    sync.RWMutex // held for writing while the device is configured, so that a count belongs to the state it is read with
	count uint64
	port  string // the listen port that was set last; "": none yet
}

// newServer starts the count at the time, so that another device of the same name never repeats one.
func newServer(dev *device.Device, r *roamer, offload string) *server {
	s := &server{dev: dev, roamer: r, offload: offload, count: uint64(time.Now().UnixNano())}
	s.desk = newDesk(s.answer)
	return s
}

func (s *server) answer(out *bytes.Buffer, op, body string) error {
	switch op {
	case opGet:
		s.mu.RLock()
		defer s.mu.RUnlock()
		return s.get(out)
	case opSet:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.set(body)
	case opAll:
		s.mu.RLock()
		defer s.mu.RUnlock()
		fmt.Fprintf(out, "ropeway_count=%d\nropeway_offload=%s\n", s.count, s.offload)
		return s.get(out)
	case opHeard:
		s.mu.RLock()
		defer s.mu.RUnlock()
		fmt.Fprintf(out, "ropeway_count=%d\n", s.count)
		in := s.roamer.inside.Load()
		for _, k := range s.roamer.seated() {
			if in.heard(k) {
				in.describe(out, k)
			}
		}
		return nil
	case opStart:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.start()
	}
	if number, ok := strings.CutPrefix(op, opChange); ok {
		return s.change(out, number, body)
	}
	return errUnknownOp
}

// start brings the device up on its port. The device also goes up by itself when its interface does; where it found the port taken then, it
// has forgotten it, and would take any other one. The lock must be held.
func (s *server) start() error {
	if err := s.dev.Up(); err != nil {
		return err
	}
	if s.port == "" || s.port == strconv.Itoa(int(s.roamer.port.Load())) {
		return nil
	}
	return s.dev.IpcSet("listen_port=" + s.port + "\n")
}

// get writes what the device says of itself.
func (s *server) get(out *bytes.Buffer) error {
	var all bytes.Buffer
	err := s.dev.IpcGetOperation(&all)
	out.Write(bytes.ReplaceAll(all.Bytes(), []byte(nowhereLine), nil))
	return err
}

// set configures the device. The lock must be held. A configuration that fails may have done a part, and counts.
func (s *server) set(body string) error {
	s.count++
	err := s.dev.IpcSetOperation(strings.NewReader(body))
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, "listen_port="); ok {
			s.port = strings.TrimSuffix(value, "\n")
		}
		if value, ok := strings.CutPrefix(line, "public_key="); ok {
			var k device.NoisePublicKey
			if k.FromHex(strings.TrimSuffix(value, "\n")) == nil {
				s.roamer.seat(k)
			}
		}
	}
	if strings.Contains(body, "replace_peers=") || strings.Contains(body, "private_key=") { // both remove peers without a name
		s.roamer.seatAll()
	}
	return err
}

// change sets only where nobody else has since the count that the other end knows, and tells what became of the peers that it named. Without any it
// only compares the count.
func (s *server) change(out *bytes.Buffer, number, body string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number != strconv.FormatUint(s.count, 10) {
		return unix.ESTALE
	}
	drop, body, err := dropped(body)
	if err != nil {
		return err
	}
	named, err := peersIn(body)
	if err != nil {
		return err
	}
	if body != "" {
		if err := s.set(body); err != nil {
			return err
		}
	}
	if len(drop) > 0 {
		s.count++
		s.roamer.inside.Load().drop(drop)
	}
	fmt.Fprintf(out, "ropeway_count=%d\n", s.count)
	for value := range named {
		var k device.NoisePublicKey
		if err := k.FromHex(value); err != nil {
			return unix.EINVAL
		}
		s.roamer.inside.Load().describe(out, k)
	}
	return nil
}

// dropped cuts the prefixes that no peer shall have from the head of a change.
func dropped(body string) (drop []netip.Prefix, rest string, err error) {
	for {
		line, after, _ := strings.Cut(body, "\n")
		value, ok := strings.CutPrefix(line, lineDrop)
		if !ok {
			return drop, body, nil
		}
		p, err := netip.ParsePrefix(value)
		if err != nil {
			return nil, "", unix.EINVAL
		}
		drop, body = append(drop, p), after
	}
}

// peersIn returns the keys, in hex, of the peers that the lines of a set operation are about.
func peersIn(body string) (map[string]bool, error) {
	named := map[string]bool{}
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "public_key="); ok {
			if _, err := parseHexKey([]byte(value)); err != nil {
				return nil, unix.EINVAL
			}
			named[strings.ToLower(value)] = true
		} else if len(named) == 0 {
			return nil, unix.EINVAL // about the device, which the answer would not tell
		}
	}
	return named, nil
}

// appendHexKey writes "name=hex".
func appendHexKey(out *bytes.Buffer, name string, k [key.Size]byte) {
	_, _ = io.WriteString(out, name+"="+hex.EncodeToString(k[:])+"\n")
}
