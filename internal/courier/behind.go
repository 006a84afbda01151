package courier

import (
	"path/filepath"

	"google.golang.org/protobuf/proto"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/files"
	"ropeway/internal/grant"
)

// hello is what a controller hears first. One that has been restored from a backup knows of less than the gateway follows, and asks for the grant
// itself, which is signed: then it numbers on past it. Otherwise the gateway would wait for numbers that may never come.
func (c *Courier) hello() *ropewayv1.WatchRequest {
	req := c.asks()
	if !c.show {
		return req
	}
	c.show = false
	data, err := files.Read(filepath.Join(c.opts.State, grantName), grant.MaxSigned)
	held := &ropewayv1.SignedGrant{}
	if err == nil {
		err = proto.Unmarshal(data, held)
	}
	if err != nil {
		c.log.Error("the grant that is held cannot be shown to the controller", "error", err)
		return req
	}
	req.Held = held
	return req
}
