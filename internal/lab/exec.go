package lab

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"

	"ropeway/internal/diag"
	"ropeway/internal/lab/netns"
	"ropeway/internal/lab/world"
)

// Find returns the machine that somebody means: by its name, its namespace, an address or prefix that it carries, or a place,
// whose first host it is then.
func (l *Lab) Find(text string) (*world.Space, error) {
	w := l.record.World
	if s := w.Space(text); s != nil {
		return s, nil
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		if s := w.HostOf(addr); s != nil {
			return s, nil
		}
	}
	for _, s := range w.Spaces {
		if spaceName(l.Name, s.Name) == text || s.Kind == world.Host && (s.Prefix.String() == text || s.Place == text) {
			return s, nil
		}
	}
	var names []string
	for _, kind := range []world.Kind{world.Host, world.Gateway} {
		for _, s := range w.Of(kind) {
			names = append(names, s.Name)
		}
	}
	return nil, problem("RW5011", "machine "+diag.Quote(text), "the lab has no such machine",
		"there are, for example, "+strings.Join(names[:min(len(names), 6)], ", ")+"; ropeway lab status shows all")
}

// MachineVariable is set in the environment of what runs on a machine of a lab, to the machine's name.
const MachineVariable = "ROPEWAY_LAB_MACHINE"

// Run runs a command on a machine, with the streams that it was given, and waits for it. A gateway has its own names and sockets of
// WireGuard, so that wg(8) and ropeway-gateway speak of it; the operator is logged in to the lab's controllers. The error of a command that failed is *exec.ExitError.
func (l *Lab) Run(s *world.Space, cmd *exec.Cmd) error {
	ns, err := netns.Open(spaceName(l.Name, s.Name))
	if err != nil {
		return err
	}
	defer ns.Close()
	var binds []netns.Bind
	if s.Kind == world.Gateway {
		binds = machineBinds(l.Name, s.Name)
	}
	own := map[string]string{agentProgram: l.record.Agent, controllerProgram: l.record.Controller, commandProgram: l.record.Command}
	if path := own[cmd.Args[0]]; path != "" { // the one that this lab runs, whatever is in PATH
		cmd.Path, cmd.Err = path, nil
	}
	cmd.Env = append(slices.DeleteFunc(cmd.Environ(), func(v string) bool { return strings.HasPrefix(v, "ROPEWAY_LAB") }),
		"ROPEWAY_LAB="+l.Name, MachineVariable+"="+s.Name)
	if s.Kind == world.Operator {
		cmd.Env = append(cmd.Env, "ROPEWAY_CONFIG="+operatorDir(l.Name))
	}
	if err := ns.Start(cmd, binds...); err != nil {
		return err
	}
	return cmd.Wait()
}
