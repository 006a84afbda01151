package agent

import (
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// burstGap is how long nothing changes between two bursts.
const burstGap = time.Second

// A Convergence is how routing found its way after something happened: the changes of learnt routes in the kernel that followed each other within a second. It
// took from the first to the last of them; one change alone took no time.
type Convergence struct {
	At      time.Time `json:"at"` // of the first change
	Took    float64   `json:"tookSeconds"`
	Changes int       `json:"changes"` // at least: where the kernel tells faster than anybody listens it leaves some out
}

// A burst gathers a Convergence. The zero value is ready.
type burst struct {
	mu          sync.Mutex
	first, last time.Time
	changes     int
}

// note counts changes.
func (b *burst) note(now time.Time, changes int) {
	if changes == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.last) > burstGap {
		b.first, b.changes = now, 0
	}
	b.last = now
	b.changes += changes
}

// latest returns when something changed last.
func (b *burst) latest() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// convergence returns the last one, which may go on; nil where there was none.
func (b *burst) convergence() *Convergence {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changes == 0 {
		return nil
	}
	return &Convergence{b.first, b.last.Sub(b.first).Seconds(), b.changes}
}

// learnt tells the messages about routes of the main table that a routing daemon learnt. The offsets are those of struct rtmsg.
func learnt(m netlink.Message) bool {
	switch m.Header.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return len(m.Data) > 5 && m.Data[4] == unix.RT_TABLE_MAIN && (m.Data[5] == unix.RTPROT_BGP || m.Data[5] == unix.RTPROT_BIRD)
	}
	return false
}
