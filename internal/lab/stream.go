package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

// How streams are judged. Enough bytes to fill several packets of the largest MTU there is, both ways.
const (
	streamSize     = 192 << 10
	streamPatience = 12 * time.Second
	streamQuiet    = 1500 * time.Millisecond // for one that is expected to stall
	streamsAtOnce  = 32
)

// runStreams opens a TCP connection for every probe, sends, and waits to get all of it back.
func (p *prober) runStreams(ctx context.Context, probes []*probe) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(streamsAtOnce)
	for _, pr := range probes {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			wait := streamQuiet
			if pr.expect == Reachable {
				wait = streamPatience
			}
			whole, err := p.stream(pr, wait)
			pr.mu.Lock()
			defer pr.mu.Unlock()
			pr.arrived, pr.answered = whole, whole
			return err
		})
	}
	return g.Wait()
}

// stream reports whether everything came back in time.
func (p *prober) stream(pr *probe, wait time.Duration) (whole bool, err error) {
	v := p.vantages[p.where(pr.From)]
	if v == nil {
		return false, errNoHost(pr.From)
	}
	fd, err := v.connect(pr.From, netip.AddrPortFrom(pr.To, pr.Service.First), func(uint16) {})
	if err != nil {
		return false, err
	}
	f := os.NewFile(uintptr(fd), "stream")
	defer f.Close()
	if err := f.SetDeadline(time.Now().Add(wait)); err != nil {
		return false, err
	}
	sent := bytes.Repeat([]byte("ropeway "), streamSize/8)
	var g errgroup.Group
	g.Go(func() error {
		_, err := f.Write(sent)
		return err
	})
	got := make([]byte, streamSize)
	_, readErr := io.ReadFull(f, got)
	writeErr := g.Wait()
	return errors.Join(readErr, writeErr) == nil && bytes.Equal(got, sent), nil
}
