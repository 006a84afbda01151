package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/fabric"
	"ropeway/internal/lab/packet"
	"ropeway/internal/lab/world"
)

// An Outcome is what becomes of a packet and of the answer to it.
type Outcome string

// What can become of a packet.
const (
	Reachable Outcome = "reachable" // it arrived, and the answer came back
	OneWay    Outcome = "one-way"   // it arrived, and the answer was lost
	Denied    Outcome = "denied"    // it did not arrive
	Stalled   Outcome = "stalled"   // a stream opened, if at all, and did not get through
)

// A Flow is one kind of packet between two addresses. Service names one port.
type Flow struct {
	From    netip.Addr     `json:"from"`
	To      netip.Addr     `json:"to"`
	Service fabric.Service `json:"service"`
	Size    int            `json:"size,omitempty"`   // bytes of inner packet, there and back; 0: a small one
	Stream  bool           `json:"stream,omitempty"` // a TCP connection that sends enough to fill packets of Size
}

// A probe is a flow on the wire.
type probe struct {
	Flow
	expect  Outcome
	token   uint64
	port    uint16 // its source port, or the identifier of its echo
	sockets []int

	mu       sync.Mutex
	arrived  bool
	answered bool
	tooBig   int // the MTU that somebody told the sender
	sent     time.Time
	took     time.Duration
}

func (p *probe) outcome() Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.arrived && p.answered:
		return Reachable
	case p.Stream:
		return Stalled
	case p.arrived:
		return OneWay
	}
	return Denied
}

// How long a probe is waited for. A packet that should come is sent again and again, since a busy machine may drop some; one that
// should not is sent twice and then given several times as long as the slowest that came.
const (
	resendAfter     = 400 * time.Millisecond
	defaultPatience = 8 * time.Second
	leastQuiet      = 250 * time.Millisecond
	quietFactor     = 4
	waveSize        = 1024 // probes under way at a time; bounds sockets and what a watch has to hold
	burst           = 32   // probes sent in one go
	burstPause      = 2 * time.Millisecond
	pollInterval    = 5 * time.Millisecond
)

// A prober sends flows between the hosts of a lab and watches both ends.
type prober struct {
	vantages map[string]*vantage // by space
	where    func(netip.Addr) string
	patience time.Duration
	watching sync.WaitGroup

	mu      sync.Mutex
	tokens  map[uint64]*probe
	tcp     map[tuple]*probe
	counter uint64
}

type tuple struct {
	from, to netip.AddrPort
}

// newProber opens a vantage in each of the spaces and watches from it. where tells the space of an address.
func newProber(st *site, spaces []*world.Space, where func(netip.Addr) string) (*prober, error) {
	p := &prober{
		where: where, patience: defaultPatience, vantages: map[string]*vantage{}, tokens: map[uint64]*probe{}, tcp: map[tuple]*probe{},
		counter: uint64(time.Now().UnixNano()), // so that what an earlier run left under way is not mistaken for ours
	}
	for _, s := range spaces {
		v, err := newVantage(s.Name, st.spaces[s.Name].Space)
		if err != nil {
			return nil, joinClose(err, p)
		}
		p.vantages[s.Name] = v
		p.watching.Go(func() { v.listen(p.see) })
	}
	return p, nil
}

// Close stops watching.
func (p *prober) Close() error {
	var errs []error
	for _, v := range p.vantages {
		errs = append(errs, v.Close())
	}
	p.watching.Wait()
	return errors.Join(errs...)
}

// see notes what a packet that arrived somewhere says of a probe.
func (p *prober) see(_ *vantage, got packet.Packet) {
	p.mu.Lock()
	pr, answer := p.match(got)
	p.mu.Unlock()
	if pr == nil {
		return
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	switch {
	case got.Kind == packet.TooBig:
		pr.tooBig = got.MTU
	case answer:
		if !pr.answered {
			pr.took = time.Since(pr.sent)
		}
		pr.answered = true
	default:
		pr.arrived = true
	}
}

// match finds the probe that a packet belongs to, and tells the request from the answer.
func (p *prober) match(got packet.Packet) (pr *probe, answer bool) {
	switch got.Kind {
	case packet.EchoRequest, packet.EchoReply, packet.UDP:
		pr = p.tokens[got.Token]
		switch {
		case pr == nil:
			return nil, false
		case got.Src == pr.From && got.Dst == pr.To && got.Kind != packet.EchoReply:
			return pr, false
		case got.Src == pr.To && got.Dst == pr.From && got.Kind != packet.EchoRequest:
			return pr, true
		}
	case packet.TCP:
		src, dst := netip.AddrPortFrom(got.Src, got.SrcPort), netip.AddrPortFrom(got.Dst, got.DstPort)
		if pr = p.tcp[tuple{src, dst}]; pr != nil && got.Flags&packet.SYN != 0 {
			return pr, false
		}
		if pr = p.tcp[tuple{dst, src}]; pr != nil && got.Flags&(packet.SYN|packet.RST) != 0 {
			return pr, true
		}
	case packet.TooBig:
		if got.About.Kind != packet.TCP {
			return p.tokens[got.About.Token], false
		}
	}
	return nil, false
}

// run sends every probe and waits until each has met its expectation or its time is over.
func (p *prober) run(ctx context.Context, probes []*probe) error {
	for len(probes) > 0 {
		n := min(len(probes), waveSize)
		if err := p.wave(ctx, probes[:n]); err != nil {
			return err
		}
		probes = probes[n:]
	}
	return nil
}

func (p *prober) wave(ctx context.Context, probes []*probe) error {
	p.register(probes)
	defer p.forget(probes)
	if err := p.send(ctx, probes); err != nil {
		return err
	}
	begun, last := time.Now(), time.Now()
	for {
		waiting := missing(probes)
		if len(waiting) == 0 || time.Since(begun) > p.patience {
			break
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
		if time.Since(last) > resendAfter {
			if err := p.send(ctx, waiting); err != nil {
				return err
			}
			last = time.Now()
		}
	}
	var unexpected []*probe
	for _, pr := range probes {
		if pr.expect != Reachable {
			unexpected = append(unexpected, pr)
		}
	}
	if len(unexpected) == 0 {
		return nil
	}
	if err := p.send(ctx, unexpected); err != nil {
		return err
	}
	return sleep(ctx, max(leastQuiet, quietFactor*slowest(probes)))
}

// missing returns the probes that have not come as far as they should.
func missing(probes []*probe) []*probe {
	var out []*probe
	for _, pr := range probes {
		got := pr.outcome()
		if pr.expect == Reachable && got != Reachable || pr.expect == OneWay && got == Denied {
			out = append(out, pr)
		}
	}
	return out
}

// slowest returns the longest time that an answer took, of those that came at the first try.
func slowest(probes []*probe) (d time.Duration) {
	for _, pr := range probes {
		pr.mu.Lock()
		if pr.took < resendAfter {
			d = max(d, pr.took)
		}
		pr.mu.Unlock()
	}
	return d
}

// register gives every probe what it is known by.
func (p *prober) register(probes []*probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pr := range probes {
		p.counter++
		pr.token = p.counter
		pr.port = uint16(p.counter%(1<<15)) + 1<<15 - 1 // 32767 to 65534
		p.tokens[pr.token] = pr
	}
}

func (p *prober) forget(probes []*probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pr := range probes {
		delete(p.tokens, pr.token)
		for _, fd := range pr.sockets {
			_ = unix.Close(fd) // a probe's own, and nothing was written to it
		}
		pr.sockets = nil
	}
	clear(p.tcp)
}

// send puts the probes on the wire, a few at a time: two cores carry some 30,000 packets a second through a tunnel.
func (p *prober) send(ctx context.Context, probes []*probe) error {
	for i, pr := range probes {
		if i%burst == burst-1 {
			if err := sleep(ctx, burstPause); err != nil {
				return err
			}
		}
		if err := p.sendOne(pr); err != nil {
			return err
		}
	}
	return nil
}

func (p *prober) sendOne(pr *probe) error {
	v := p.vantages[p.where(pr.From)]
	if v == nil {
		return errNoHost(pr.From)
	}
	to := netip.AddrPortFrom(pr.To, pr.Service.First)
	pr.mu.Lock()
	if pr.sent.IsZero() {
		pr.sent = time.Now()
	}
	pr.mu.Unlock()
	switch pr.Service.Protocol {
	case fabric.ICMP:
		return dropped(v.send(packet.Echo(pr.From, pr.To, pr.port, pr.token, pr.Size), pr.To))
	case fabric.UDP:
		return dropped(v.send(packet.Datagram(netip.AddrPortFrom(pr.From, pr.port), to, pr.token, pr.Size), pr.To))
	}
	fd, err := v.connect(pr.From, to, func(port uint16) {
		p.mu.Lock()
		p.tcp[tuple{netip.AddrPortFrom(pr.From, port), to}] = pr
		p.mu.Unlock()
	})
	if err == nil {
		pr.sockets = append(pr.sockets, fd)
	}
	return err
}

// dropped takes an error of sending that is the network's: such a packet is one that did not arrive.
func dropped(err error) error {
	if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EAGAIN) || refusal(err) {
		return nil
	}
	return err
}

// sleep waits, or returns why the context ended.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func errNoHost(a netip.Addr) error { return fmt.Errorf("no host of the lab carries %s", a) }
