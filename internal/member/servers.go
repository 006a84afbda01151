package member

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Every answer of a controller says where all controllers of the fabric are, so a member always knows where to go when one is gone.
const (
	addressHeader = "Ropeway-Controllers" // URLs, with commas between them
	mostServers   = 16                    // that are kept
)

// A book is where a membership is kept, and who may change its list of servers.
type book struct {
	mu   sync.Mutex
	path string
}

// Next returns the server to try after another one, or the first of all after none.
func (m *Member) Next(after string) string {
	defer m.hold()()
	i := slices.Index(m.Servers, after)
	return m.Servers[(i+1)%len(m.Servers)]
}

// All returns every server, the one that answered last first.
func (m *Member) All() []string {
	defer m.hold()()
	return slices.Clone(m.Servers)
}

// hold takes the list of servers for one goroutine. A membership that was not kept yet has only one.
func (m *Member) hold() (release func()) {
	if m.book == nil {
		return func() {}
	}
	m.book.mu.Lock()
	return m.book.mu.Unlock
}

// learn takes what a server said of where all are. The one that answered is kept first, under the name that it answered to: what it calls itself
// may mean nothing here.
func (m *Member) learn(answered, said string) {
	list := []string{answered}
	for server := range strings.SplitSeq(said, ",") {
		if len(list) < mostServers && checkServer(server) == nil && !slices.Contains(list, server) {
			list = append(list, server)
		}
	}
	defer m.hold()()
	if slices.Equal(list, m.Servers) {
		return
	}
	m.Servers = list
	if m.book != nil {
		_ = m.save(m.book.path) // else it is learnt again
	}
}

// A learner is a transport that learns from what is answered.
type learner struct {
	*http.Transport
	member *Member
	server string
}

// RoundTrip implements http.RoundTripper.
func (l *learner) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.Transport.RoundTrip(r)
	if err == nil && answer.Header.Get(addressHeader) != "" {
		l.member.learn(l.server, answer.Header.Get(addressHeader))
	}
	return answer, err
}

const (
	headStart = 300 * time.Millisecond // of each server before the one after it is asked, too
	waitAlive = 5 * time.Second
)

// Settle puts the first of the servers first that answers and has a store to work with. Where none does, or one is all that is known, nothing
// changes: what is asked next says what is wrong.
func (m *Member) Settle(ctx context.Context) {
	servers := slices.Clone(m.Servers)
	if len(servers) < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, waitAlive)
	found := make(chan int, len(servers))
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for i, server := range servers {
		all.Go(func() {
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(i) * headStart):
			}
			if !m.alive(ctx, server) {
				i = -1
			}
			found <- i
		})
	}
	for range servers {
		if i := <-found; i >= 0 {
			defer m.hold()()
			m.Servers = slices.Insert(slices.Delete(slices.Clone(servers), i, i+1), 0, servers[i])
			return
		}
	}
}

// alive reports whether a server works.
func (m *Member) alive(ctx context.Context, server string) bool {
	client, err := m.HTTP(server)
	if err != nil {
		return false
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(server, "/")+"/healthz", nil)
	if err != nil {
		return false
	}
	answer, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// Stranger returns a client that speaks to a controller of which nothing is known but the pin, as nobody.
func Stranger(pin [32]byte, server string) (*http.Client, error) {
	if err := checkServer(server); err != nil {
		return nil, err
	}
	return (&Member{Pin: pin[:]}).stranger(server)
}
