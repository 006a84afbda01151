package controller

import (
	"context"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"ropeway/internal/store"
)

// addressHeader tells clients, with every answer, where all controllers are: so each knows where to go when this one is gone.
const addressHeader = "Ropeway-Controllers"

// An addressBook is where the controllers of the fabric are, as they announced it.
type addressBook struct {
	mu   sync.Mutex
	text string // URLs, with commas between them
}

func (b *addressBook) set(list []store.Controller) {
	urls := make([]string, len(list))
	for i, c := range list {
		urls[i] = c.URL
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = strings.Join(urls, ",")
}

func (b *addressBook) get() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text
}

// several reports whether more than one is there.
func (b *addressBook) several() bool { return strings.Contains(b.get(), ",") }

// tell adds the addresses to what is answered to those who were served: a stranger hears nothing.
func (b *addressBook) tell() connect.Interceptor {
	return connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			answer, err := next(ctx, req)
			if text := b.get(); err == nil && text != "" {
				answer.Header().Set(addressHeader, text)
			}
			return answer, err
		}
	})
}

// announce says that this controller is there, until it was heard, and follows who else is. A learner gets its vote meanwhile.
func (c *Controller) announce(ctx context.Context) error {
	group := sync.WaitGroup{}
	defer group.Wait()
	group.Go(func() { c.opts.Store.WatchControllers(ctx, c.addresses.set) })
	if c.opts.URL == "" {
		return nil
	}
	me := store.Controller{Name: c.opts.Name, URL: c.opts.URL, Peer: c.opts.Store.Self(), At: c.opts.Now()}
	for {
		err := c.opts.Store.Vote(ctx)
		if err == nil {
			err = c.opts.Store.Announce(ctx, me)
		}
		if err == nil || ctx.Err() != nil {
			return nil
		}
		c.log.Warn("the other controllers do not know of this one yet", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(announceAgain):
		}
	}
}

// announceAgain is how long a controller waits before it tries once more to be known.
const announceAgain = 5 * time.Second

// guard ends the controller when its store has ended: it was removed from the cluster, for example.
func (c *Controller) guard(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-c.opts.Store.Lost():
		return store.Explained(c.opts.Store.Why())
	}
}
