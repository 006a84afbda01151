package controller

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/time/rate"

	"ropeway/internal/gate"
	"ropeway/internal/role"
)

// Bounds on what anybody may cost the controller. Those on connections are package gate's.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = time.Minute // of a connection that asks nothing
	mostHeader    = 16 << 10    // bytes
	mostMessage   = 24 << 20    // bytes; a fabric file of 10,000 gateways is some 4 MB
	mostOfGateway = 256 << 10   // bytes: a report
	mostOfNobody  = 64 << 10    // bytes: a token and a certificate request
	bodyTimeout   = 2 * time.Minute
	answerTimeout = 10 * time.Minute // the proof of a large fabric takes its time
	farewell      = 3 * time.Second

	memberRate, memberBurst     = 50, 200 // calls a second of one member, and at once
	strangerRate, strangerBurst = 20, 400 // the same of one address: a site that enrolls its gateways
	callsAtOnce                 = 16      // of one member or address, beside watching
	mostMeters                  = 1 << 15
)

// A meter is how much somebody has asked lately.
type meter struct {
	rate *rate.Limiter
	now  int // how many calls are being answered
}

// meters are those of everybody who asked lately. There are so many at most; a new one then takes the place of one who asks nothing now.
type meters struct {
	mu  sync.Mutex
	all map[string]*meter
}

// begin counts a call, or says why there may be none.
func (m *meters) begin(whose string, perSecond rate.Limit, burst int, now time.Time) (end func(), refused error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	x := m.all[whose]
	if x == nil {
		m.makeRoom()
		x = &meter{rate: rate.NewLimiter(perSecond, burst)}
		m.all[whose] = x
	}
	switch {
	case x.now >= callsAtOnce:
		return nil, refusal("RW7602", whose, "as many calls as one may make at once are being answered", "wait for their answers")
	case !x.rate.AllowN(now, 1):
		return nil, refusal("RW7601", whose, "too many calls in a short time", "wait a moment between calls; a program should wait longer after each refusal")
	}
	x.now++
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		x.now--
	}, nil
}

// makeRoom forgets somebody who asks nothing at the moment, where there are many. The lock must be held.
func (m *meters) makeRoom() {
	if len(m.all) < mostMeters {
		return
	}
	for whose, x := range m.all {
		if x.now == 0 {
			delete(m.all, whose)
			return
		}
	}
}

// bounded answers a call within what its caller may cost: so many at once and a second, and so many bytes and seconds for the question and the
// answer. Watching goes on for ever, and bounds itself, message by message.
func (c *Controller) bounded(w http.ResponseWriter, r *http.Request, who caller, next http.Handler) {
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
		c.log.Debug("a call is not bounded in time", "error", err)
	}
	r.Body = http.MaxBytesReader(w, r.Body, most(r, who))
	if watches(r) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), controlKey{}, control)))
		return
	}
	_ = control.SetWriteDeadline(time.Now().Add(answerTimeout))
	next.ServeHTTP(w, r)
}

// most returns how large a question may be, in bytes.
func most(r *http.Request, who caller) int64 {
	switch {
	case who.Identity == (role.Identity{}):
		return mostOfNobody
	case who.Role == role.Gateway && !watches(r): // where it may have to show the grant that it holds
		return mostOfGateway
	}
	return mostMessage
}

// count notes a call for whoever makes it.
func (c *Controller) count(r *http.Request, who caller) (end func(), err *connect.Error) {
	whose, perSecond, burst := who.String(), rate.Limit(memberRate), memberBurst
	if who.Identity == (role.Identity{}) {
		from, _ := netip.ParseAddrPort(r.RemoteAddr) // net/http writes it so
		whose, perSecond, burst = "address "+gate.AddressOf(from.Addr()).String(), strangerRate, strangerBurst
	}
	end, refused := c.meters.begin(whose, perSecond, burst, c.opts.Now())
	if refused == nil && r.ContentLength > most(r, who) {
		end()
		refused = refusal("RW7603", whose, fmt.Sprintf("a request of %d bytes, and %d is the most", r.ContentLength, most(r, who)), "send less in one request")
	}
	if refused != nil {
		return nil, connect.NewError(connect.CodeResourceExhausted, refused)
	}
	if watches(r) { // it is no call that an answer ends
		end()
		end = func() {}
	}
	return end, nil
}

// watches reports whether a call goes on for ever: those procedures are called Watch.
func watches(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/Watch") }

type controlKey struct{}

// giveTime bounds how long the next message of a stream may wait to be taken.
func giveTime(ctx context.Context, size int) {
	if control, ok := ctx.Value(controlKey{}).(*http.ResponseController); ok {
		_ = control.SetWriteDeadline(time.Now().Add(timeFor(size)))
	}
}

// timeFor is how long somebody may take to read so many bytes.
func timeFor(size int) time.Duration { return patience + time.Duration(size)*time.Second/slowest }
