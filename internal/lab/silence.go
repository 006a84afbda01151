package lab

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"ropeway/internal/lab/world"
)

// silence drops whatever comes to a machine by its wires and whatever it would send. It is how a machine looks that has lost its power or stands still: the ends of its wires
// keep their carrier, and nobody is told that a connection has ended. The kernel of a namespace would see to both.
func (st *site) silence(ctx context.Context, name string) error {
	return st.nft(ctx, name, fmt.Sprintf(`table netdev silence
delete table netdev silence
table netdev silence {
	chain in {
		type filter hook ingress devices = { %[1]s, %[2]s } priority filter; policy drop;
	}
	chain out {
		type filter hook egress devices = { %[1]s, %[2]s } priority filter; policy drop;
	}
}
`, world.Uplink, world.Inside))
}

// unsilence lets a machine hear and be heard again.
func (st *site) unsilence(ctx context.Context, name string) error {
	return st.nft(ctx, name, "table netdev silence\ndelete table netdev silence\n")
}

// freeze makes a machine stand still: no process of it runs, and its kernel neither forwards nor answers.
func (l *Lab) freeze(ctx context.Context, st *site, name string) error {
	if err := st.silence(ctx, name); err != nil {
		return err
	}
	for range 2 { // a process may just have started another
		if err := l.onMachine(name, func(pid int) error { return unix.Kill(pid, unix.SIGSTOP) }); err != nil {
			return fmt.Errorf("stop the processes of %s: %w", name, err)
		}
	}
	return nil
}

// thaw lets a machine go on where it stood. An agent that was taken away from it before runs again, unless it is to be dead.
func (l *Lab) thaw(ctx context.Context, st *site, name string, agent agentState) error {
	if err := st.unsilence(ctx, name); err != nil {
		return err
	}
	if err := l.onMachine(name, func(pid int) error { return unix.Kill(pid, unix.SIGCONT) }); err != nil {
		return fmt.Errorf("let the processes of %s go on: %w", name, err)
	}
	if agent != agentDead {
		pid, err := l.agentOf(name)
		if err != nil {
			return err
		}
		if pid == 0 {
			return l.startAgent(name)
		}
	}
	return nil
}
