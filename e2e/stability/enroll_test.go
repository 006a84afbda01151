package stability_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/lab"
	"ropeway/internal/lab/world"
	"ropeway/internal/member"
)

// on runs a command on a machine of the lab and returns what it printed.
func on(ctx context.Context, l *lab.Lab, machine, stdin string, argv ...string) (string, error) {
	s, err := l.Find(machine)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &out
	err = l.Run(s, cmd)
	return strings.TrimSpace(out.String()), err
}

// newcomers are gateways that enroll before any fabric has them.
type newcomers struct {
	o     *office
	dir   string
	known []newcomer
	tried int
}

// A newcomer was told that it is a gateway now.
type newcomer struct{ state, token, server string }

// enrollTimeout is how long a gateway and who lets it in wait for a controller.
const enrollTimeout = 5 * time.Second

// come lets one gateway after the other in until stop.
func (n *newcomers) come(t *testing.T, stop <-chan struct{}) {
	for ; ; n.tried++ {
		select {
		case <-stop:
			return
		case <-time.After(400 * time.Millisecond):
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), enrollTimeout)
		name := fmt.Sprintf("new-%d", n.tried)
		token, err := on(ctx, n.o.l, world.OperatorSpace, "", "ropeway", "token", "create", "--gateway", name)
		if err == nil {
			c := newcomer{filepath.Join(n.dir, name), token, n.o.servers[n.tried%len(n.o.servers)]}
			if _, err := n.enroll(ctx, c); err == nil {
				n.known = append(n.known, c)
			}
		}
		cancel()
	}
}

func (n *newcomers) enroll(ctx context.Context, c newcomer) (string, error) {
	return on(ctx, n.o.l, world.OperatorSpace, c.token, "ropeway-gateway", "enroll", "--server", c.server, "--token", "-", "--state", c.state)
}

// judge fails where one who was told that it is a gateway is none, or where its token serves again.
func (n *newcomers) judge(t *testing.T) {
	t.Helper()
	t.Logf("%d of %d newcomers were let in", len(n.known), n.tried)
	if len(n.known) == 0 {
		t.Error("nobody enrolled")
	}
	for i, c := range n.known {
		m, err := member.Load(filepath.Join(c.state, "member.json"))
		if err != nil {
			t.Error(err)
			continue
		}
		leaf, err := x509.ParseCertificate(m.Chain[0])
		if err != nil {
			t.Error(err)
			continue
		}
		if leaf.NotBefore.After(time.Now()) { // it waits until then, as a gateway goes on trying
			t.Logf("%s was let in by a controller whose clock was fast: its certificate is good from %s", m.Identity, leaf.NotBefore)
			continue
		}
		eventually(t, m.Identity+" is a gateway", func() error {
			client, err := n.o.client(m, c.server)
			if err != nil {
				return err
			}
			defer client.CloseIdleConnections()
			ctx, cancel := context.WithTimeout(t.Context(), answerTimeout)
			defer cancel()
			_, err = ropewayv1connect.NewGatewayServiceClient(client, c.server).Report(ctx, &ropewayv1.ReportRequest{})
			return err
		})
		if i >= 3 { // a process each
			continue
		}
		again := c
		again.state += "-again"
		if out, err := n.enroll(t.Context(), again); err == nil || !strings.Contains(out, "RW4016") {
			t.Errorf("the token of %s serves again: %v: %s", m.Identity, err, out)
		}
	}
}
