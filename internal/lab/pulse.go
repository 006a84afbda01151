package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"ropeway/internal/fabric"
	"ropeway/internal/lab/drill"
	"ropeway/internal/lab/packet"
)

// beat is how often the pulse of a drill sends, and answerGrace how long an answer may be under way: the lab's wires take less than a millisecond, and a busy machine some more.
const (
	beat        = 10 * time.Millisecond
	answerGrace = 500 * time.Millisecond
)

// A pulse sends a probe of each of some flows at every beat, and notes which arrived and which were answered, until it is closed.
type pulse struct {
	flows    []Flow
	period   time.Duration       // from one beat to the next
	vantages map[string]*vantage // by host
	origin   []*vantage          // of the flows
	tokens   uint64              // of the pulse: see token
	begun    time.Time
	stop     context.CancelFunc
	sending  sync.WaitGroup
	watching sync.WaitGroup

	mu       sync.Mutex
	sent     []time.Duration // when each beat was, since begun
	arrived  [][]bool        // by flow, then beat
	answered [][]bool        // the same
	failure  error           // that ended the sending
}

// newPulse begins to send. The caller closes it.
func newPulse(ctx context.Context, st *site, flows []Flow, period time.Duration) (*pulse, error) {
	p := &pulse{
		flows: flows, period: period, vantages: map[string]*vantage{}, arrived: make([][]bool, len(flows)), answered: make([][]bool, len(flows)), begun: time.Now(),
		tokens: uint64(time.Now().UnixNano()) << 32, // so that what an earlier one left under way is not mistaken for ours
	}
	ctx, p.stop = context.WithCancel(ctx)
	for _, f := range flows {
		origin, err := p.vantage(st, f.From)
		if err == nil {
			_, err = p.vantage(st, f.To)
		}
		if err != nil {
			return nil, joinClose(err, p)
		}
		p.origin = append(p.origin, origin)
	}
	p.sending.Go(func() { p.send(ctx) })
	return p, nil
}

// vantage returns the vantage of the host that carries an address.
func (p *pulse) vantage(st *site, of netip.Addr) (*vantage, error) {
	host := st.world.HostOf(of)
	if host == nil {
		return nil, errNoHost(of)
	}
	if v := p.vantages[host.Name]; v != nil {
		return v, nil
	}
	v, err := newVantage(host.Name, st.spaces[host.Name].Space)
	if err != nil {
		return nil, err
	}
	p.vantages[host.Name] = v
	p.watching.Go(func() { v.listen(p.see) })
	return v, nil
}

// Close stops sending and watching, and returns why it had ended before.
func (p *pulse) Close() error {
	p.halt()
	errs := []error{p.failure}
	for _, v := range p.vantages {
		errs = append(errs, v.Close())
	}
	p.watching.Wait()
	return errors.Join(errs...)
}

// halt stops sending alone: answers that are under way are still noted.
func (p *pulse) halt() {
	p.stop()
	p.sending.Wait()
}

// beatBits leaves a token room for 46 hours of beats of 10 ms, and for mostFlows flows.
const (
	beatBits  = 24
	mostFlows = 1 << (32 - beatBits)
)

// token is what a probe is known by: the pulse, the flow, the beat.
func (p *pulse) token(flow, number int) uint64 {
	return p.tokens | uint64(flow)<<beatBits | uint64(number)
}

func (p *pulse) send(ctx context.Context) {
	tick := time.NewTicker(p.period)
	defer tick.Stop()
	for beats := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due := int(time.Since(p.begun) / p.period); beats < due; beats++ { // a ticker drops what a busy machine was late for
			if err := p.strike(); err != nil {
				p.mu.Lock()
				p.failure = fmt.Errorf("send a probe: %w", err)
				p.mu.Unlock()
				return
			}
		}
	}
}

// strike sends the probes of the next beat.
func (p *pulse) strike() error {
	p.mu.Lock()
	number := len(p.sent)
	p.sent = append(p.sent, time.Since(p.begun))
	for i := range p.answered {
		p.arrived[i] = append(p.arrived[i], false)
		p.answered[i] = append(p.answered[i], false)
	}
	p.mu.Unlock()
	for i := range p.flows {
		if err := p.sendOne(i, number); err != nil {
			return err
		}
	}
	return nil
}

func (p *pulse) sendOne(flow, number int) error {
	f, token := p.flows[flow], p.token(flow, number)
	port := uint16(40000 + flow) // the same for all of a flow, so that all take one way where ways are shared
	b := packet.Echo(f.From, f.To, port, token, 0)
	if f.Service.Protocol == fabric.UDP {
		b = packet.Datagram(netip.AddrPortFrom(f.From, port), netip.AddrPortFrom(f.To, f.Service.First), token, 0)
	}
	return dropped(p.origin[flow].send(b, f.To))
}

// see notes that a probe arrived, or its answer.
func (p *pulse) see(_ *vantage, got packet.Packet) {
	if got.Kind != packet.EchoRequest && got.Kind != packet.EchoReply && got.Kind != packet.UDP || got.Token&^(1<<32-1) != p.tokens {
		return
	}
	flow, number := int(got.Token&(1<<32-1)>>beatBits), int(got.Token&(1<<beatBits-1))
	p.mu.Lock()
	defer p.mu.Unlock()
	if flow >= len(p.flows) || number >= len(p.sent) {
		return
	}
	switch f := p.flows[flow]; {
	case got.Src == f.To && got.Dst == f.From:
		p.answered[flow][number] = true
	case got.Src == f.From && got.Dst == f.To:
		p.arrived[flow][number] = true
	}
}

// now is the number of the next beat.
func (p *pulse) now() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sent)
}

// probes returns those of a flow from one beat on, up to before another.
func (p *pulse) probes(flow, from, to int) []drill.Probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]drill.Probe, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, drill.Probe{Sent: p.sent[i], Answered: p.answered[flow][i]})
	}
	return out
}

// lost returns how many probes of a flow have not arrived.
func (p *pulse) lost(flow int) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, came := range p.arrived[flow] {
		if !came {
			n++
		}
	}
	return n
}

// settled waits until every flow of which that is wanted has answered all probes of a span, and every other one none. Only beats since from count. It returns the beats
// that it judged last, from first up to before last, and false where patience was over before that was so.
func (p *pulse) settled(ctx context.Context, wanted []bool, from int, span, patience time.Duration) (first, last int, ok bool, err error) {
	deadline := time.Now().Add(patience)
	for {
		if err := sleep(ctx, 5*beat); err != nil {
			return 0, 0, false, err
		}
		first, last, err = p.window(from, span)
		if err != nil {
			return 0, 0, false, err
		}
		ok = last > first
		for i, all := range wanted {
			ok = ok && p.fares(i, first, last) == answeringOf(all)
		}
		if ok || time.Now().After(deadline) {
			return first, last, ok, nil
		}
	}
}

// window returns the last span of beats whose answers would have come; none where it would begin before from.
func (p *pulse) window(from int, span time.Duration) (first, last int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last = len(p.sent)
	for last > 0 && time.Since(p.begun)-p.sent[last-1] < answerGrace {
		last--
	}
	first = last
	for first > 0 && p.sent[last-1]-p.sent[first-1] < span {
		first--
	}
	if first < from || first == 0 {
		first = last
	}
	return first, last, p.failure
}

// An answering is how the probes of a window fare.
type answering int

const (
	none answering = iota
	someOf
	allOf
)

func answeringOf(all bool) answering {
	if all {
		return allOf
	}
	return none
}

func (p *pulse) fares(flow, first, last int) answering {
	came := 0
	for _, pr := range p.probes(flow, first, last) {
		if pr.Answered {
			came++
		}
	}
	switch came {
	case 0:
		return none
	case last - first:
		return allOf
	}
	return someOf
}
