package wireguard

import (
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/rtnl"
)

// A view is the interfaces as they were listed last. Listing them takes longer than all else that a small change does on this side, so it is done again
// only where the kernel said that one changed.
type view struct {
	watch *rtnl.Watch
	at    time.Time // zero: not listed
	links []link
}

// links returns the interfaces that begin with rw, sorted by name.
func (c *Client) links() ([]link, error) {
	v := &c.view
	if v.watch == nil {
		w, err := rtnl.OpenWatch(unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
		if err != nil {
			return nil, err
		}
		v.watch, v.at = w, time.Time{}
	}
	if !v.watch.Changed() && !v.at.IsZero() && time.Since(v.at) < trustedFor {
		return v.links, nil
	}
	v.at = time.Time{}
	found, err := links()
	if err == nil {
		v.links, v.at = found, time.Now()
	}
	return found, err
}

// overlook ends the view.
func (c *Client) overlook() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view.watch != nil {
		_ = c.view.watch.Close()
		c.view = view{}
	}
}
