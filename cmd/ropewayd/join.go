package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/authority"
	"ropeway/internal/files"
	"ropeway/internal/logs"
	"ropeway/internal/member"
)

// joinAnother asks a controller to be admitted, and keeps what it answers: first the members, then the authority, so that a start that is cut short
// in between asks again, and one that is cut short later goes on.
func (s *serving) joinAnother(ctx context.Context, peer *authority.Peer, url string) error {
	c := &s.cluster
	token, err := c.readToken(s.in, s.controller)
	if err != nil {
		return err
	}
	csr, err := peer.Request()
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	http, err := member.Stranger(token.Pin(), c.join)
	if err != nil {
		return problem("RW6001", "--join: "+err.Error(), "name another controller as https://HOST:8443")
	}
	defer http.CloseIdleConnections()
	answer, err := ropewayv1connect.NewClusterServiceClient(http, c.join).Join(ctx, &ropewayv1.JoinRequest{
		Token: token.Reveal(), Fabric: s.fabric, Name: s.controller, Url: url, PeerUrl: c.peerURL, Csr: csr,
	})
	if err != nil {
		return refusedToJoin(c.join, err)
	}
	bundle, err := authority.NewBundle(answer.Authority)
	if err != nil {
		return err
	}
	if len(answer.Peers) > 0 {
		var members []string
		for _, p := range answer.Peers {
			members = append(members, p.Name+"="+p.Url)
		}
		if err := files.Replace(s.path(joiningFile), []byte(strings.Join(members, ",")), 0o600); err != nil {
			return err
		}
	}
	_, err = authority.Unpack(s.path(authorityDir), s.fabric, bundle, time.Now())
	return err
}

// refusedToJoin says why another controller did not admit this one, in its own words where it has said something.
func refusedToJoin(server string, err error) error {
	var answer *connect.Error
	message := err.Error()
	if errors.As(err, &answer) {
		message = answer.Message()
	}
	return problem("RW7226", "controller "+server+" did not admit this one: "+logs.Printable(message),
		"is it there, and the token unused, for a controller of this name (--controller), and not too old?")
}
