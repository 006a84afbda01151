package controller

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// A line is the connection of one gateway that watches, taken out of net/http's hands: with thousands of them it counts what one costs while
// nothing happens. It has no goroutine and no buffer then, only what TLS itself keeps. Whoever has something to say to it (a new grant, a
// heartbeat) wakes it, and a goroutine says what there is to say at that moment and ends. That one is never there twice, so a slow gateway
// holds up nobody, and finds the newest grant when it is done with an older one.
type line struct {
	lines   *lines
	conn    net.Conn // TLS
	who     caller
	number  uint64 // among the lines
	held    uint64 // the epoch that the gateway has; the speaker's alone
	reads   uint32 // the last format of plans that it understands
	errands bool   // it does errands

	head  atomic.Bool // the answer has not begun yet
	beat  atomic.Bool // it is time for a heartbeat
	state atomic.Int32
}

// The states of a line.
const (
	silent   = iota // nobody speaks
	speaking        // a goroutine does
	more            // and has to look once more before it ends
	over            // nobody will any more
)

// lines are all of a controller's.
type lines struct {
	c       *Controller
	ctx     context.Context // what a speaker may wait for ends with it
	hangups *hangups

	mu      sync.Mutex
	closed  bool
	last    uint64
	all     map[uint64]*line
	working sync.WaitGroup // those who speak
}

// Bounds on what a gateway may keep waiting.
const (
	patience  = 30 * time.Second // for one message, whatever its size
	slowest   = 64 << 10         // bytes a second that are read, beyond that
	beatRound = time.Second      // each round beats for those whose turn it is
)

func newLines(ctx context.Context, c *Controller) (*lines, error) {
	h, err := newHangups()
	if err != nil {
		return nil, err
	}
	return &lines{c: c, ctx: ctx, hangups: h, all: map[uint64]*line{}}, nil
}

// add takes a connection over. held is the epoch that the gateway has.
func (ls *lines) add(conn net.Conn, who caller, held uint64, req *ropewayv1.WatchRequest) error {
	l := &line{lines: ls, conn: conn, who: who, held: held, reads: formatOf(req.PlanFormat), errands: req.Errands}
	l.head.Store(true)
	ls.mu.Lock()
	if ls.closed {
		ls.mu.Unlock()
		return errors.Join(errEnding, socketOf(conn).Close())
	}
	ls.last++
	l.number = ls.last
	ls.all[l.number] = l
	ls.mu.Unlock()
	if l.errands {
		ls.c.errands.attend(who.Name)
	}
	if err := ls.hangups.add(conn, l.number); err != nil {
		l.end()
		return err
	}
	ls.c.outbox.attend(who.Name, l)
	if l.state.Load() == over { // it hung up before it attended
		ls.c.outbox.leave(who.Name, l)
	}
	l.wake()
	return nil
}

var errEnding = errors.New("the controller is about to end")

// run beats, and ends those that hang up, until the context of the lines ends. Then it ends all of them.
func (ls *lines) run() error {
	listening := make(chan error, 1)
	go func() { listening <- ls.hangups.run(ls.hungUp) }()
	tick := time.NewTicker(beatRound)
	defer tick.Stop()
	var err error
	for round := uint64(0); err == nil && ls.ctx.Err() == nil; round++ {
		select {
		case <-ls.ctx.Done():
		case err = <-listening:
			listening <- err
		case <-tick.C:
			ls.beat(round)
		}
	}
	ls.mu.Lock()
	ls.closed = true
	left := ls.list()
	ls.mu.Unlock()
	for _, l := range left {
		l.end()
	}
	ls.working.Wait()
	ls.hangups.close()
	return errors.Join(err, <-listening)
}

// list returns every line. The lock must be held.
func (ls *lines) list() []*line {
	out := make([]*line, 0, len(ls.all))
	for _, l := range ls.all {
		out = append(out, l)
	}
	return out
}

// beat wakes those whose turn it is: each every heartbeat, and not all at once.
func (ls *lines) beat(round uint64) {
	const rounds = uint64(heartbeat / beatRound)
	ls.mu.Lock()
	var due []*line
	for number, l := range ls.all {
		if number%rounds == round%rounds {
			due = append(due, l)
		}
	}
	ls.mu.Unlock()
	for _, l := range due {
		l.beat.Store(true)
		l.wake()
	}
}

func (ls *lines) hungUp(number uint64) {
	ls.mu.Lock()
	l := ls.all[number]
	ls.mu.Unlock()
	if l != nil {
		l.end()
	}
}

// begin counts a speaker, unless all is over.
func (ls *lines) begin() bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if !ls.closed {
		ls.working.Add(1)
	}
	return !ls.closed
}

// wake has a goroutine look what there is to say. It does not block.
func (l *line) wake() {
	for {
		switch l.state.Load() {
		case silent:
			if l.state.CompareAndSwap(silent, speaking) {
				if l.lines.begin() {
					go l.speak()
				}
				return
			}
		case speaking:
			if l.state.CompareAndSwap(speaking, more) {
				return
			}
		default:
			return
		}
	}
}

// speak says what there is to say, until there is nothing.
func (l *line) speak() {
	defer l.lines.working.Done()
	for {
		if err := l.say(); err != nil {
			l.lines.c.log.Debug("a line ends", "gateway", l.who.Name, "error", err)
			l.end()
			return
		}
		if l.state.CompareAndSwap(speaking, silent) || !l.state.CompareAndSwap(more, speaking) { // else it is over
			return
		}
	}
}

// say sends the newest grant if the gateway has an older one, or a heartbeat if it is time for one, and every errand that there is.
func (l *line) say() error {
	c := l.lines.c
	if l.head.Swap(false) {
		if err := l.write([]byte(lineHead)); err != nil {
			return err
		}
	}
	if err := c.mayWatch(l.lines.ctx, l.who); err != nil {
		return errors.Join(err, l.write(lastMessage(err)))
	}
	beat := l.beat.Swap(false)
	switch p := c.outbox.look(l.who.Name); {
	case c.due(l.who.Name, p, l.held, l.reads):
		message, err := p.encode()
		if err != nil {
			return err
		}
		if err := l.write(message); err != nil {
			return err
		}
		l.held = p.epoch
		c.noteSent(l.who.Name, p.epoch)
		p.delivered()
	case beat:
		if err := l.write(watchMessage(&ropewayv1.WatchResponse{})); err != nil {
			return err
		}
	}
	for l.errands {
		e := c.errands.take(l.who.Name)
		if e == nil {
			break
		}
		if err := l.write(watchMessage(&ropewayv1.WatchResponse{Errand: e})); err != nil {
			return err
		}
	}
	return nil
}

// write sends bytes while they are taken.
func (l *line) write(message []byte) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(timeFor(len(message)))); err != nil {
		return err
	}
	_, err := l.conn.Write(message)
	return err
}

// end closes the line. It is called as often as anybody likes.
func (l *line) end() {
	if l.state.Swap(over) == over {
		return
	}
	_ = socketOf(l.conn).Close() // and not TLS, which would wait for a slow one to take its farewell
	l.lines.c.outbox.leave(l.who.Name, l)
	if l.errands {
		l.lines.c.errands.leave(l.who.Name)
	}
	l.lines.mu.Lock()
	delete(l.lines.all, l.number)
	l.lines.mu.Unlock()
}
