package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropeway/internal/agent"
	"ropeway/internal/console"
)

func newStatusCommand() *cobra.Command {
	var d dirs
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say what the agent of this machine wants, has done and sees",
		Args:  cobra.NoArgs,
	}
	d.addRun(cmd)
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		status, err := agent.Ask(cmd.Context(), d.run)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if format.Format == console.JSON || format.Format == console.YAML {
			return console.Encode(out, format.Format, status)
		}
		return printStatus(out, console.StyleFor(console.Auto, out, os.Getenv), status, format.Format == console.Wide)
	}
	return cmd
}

// printStatus writes a status for a person: what is the matter first, then the peers.
func printStatus(w io.Writer, style console.Style, st *agent.Status, wide bool) error {
	facts := &console.Table{Columns: []console.Column{{Title: "GATEWAY"}, {Title: cmp.Or(st.Gateway, "(no plan yet)")}}, Rows: factsOf(st)}
	peers := &console.Table{Columns: []console.Column{{Title: "DEVICE"}, {Title: "PEER"}, {Title: "STATE"}, {Title: "HANDSHAKE", Right: true},
		{Title: "RECEIVED", Right: true}, {Title: "SENT", Right: true}, {Title: "ENDPOINT"}, {Title: "KEY", Wide: true}},
		Paint: func(s console.Style, _, column int, cell string) string {
			if column != 2 {
				return cell
			}
			return paintState(s, cell)
		}}
	for _, dev := range st.Devices {
		for _, p := range dev.Peers {
			endpoint, age := "-", "never"
			if p.Endpoint.IsValid() {
				endpoint = p.Endpoint.String()
			}
			if p.Age != nil {
				age = (time.Duration(*p.Age) * time.Second).String()
			}
			state := string(p.State)
			if p.Standby {
				state += " (standby)"
			}
			peers.Rows = append(peers.Rows, []string{dev.Name, p.Gateway, state, age, size(p.Received), size(p.Sent), endpoint, p.PublicKey.String()})
		}
	}
	if err := facts.Write(w, style, wide); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	return peers.Write(w, style, wide)
}

func factsOf(st *agent.Status) [][]string {
	health := "healthy"
	if !st.Healthy {
		health = strings.Join(st.Reasons, "; ")
	}
	rows := [][]string{{"state", health}, {"fabric", st.Fabric}, {"plan wanted", st.Plan.Wanted}, {"plan applied", cmp.Or(st.Plan.Applied, "-")}}
	if r := st.Plan.Refused; r != nil {
		rows = append(rows, []string{"plan file refused", r.Message})
	}
	rows = append(rows, controllerFacts(st.Controller)...)
	for _, d := range st.Devices {
		about := "not there"
		if d.Backend != "" {
			about = fmt.Sprintf("%s, port %d, MTU %d, %v", d.Backend, d.ListenPort, d.MTU, d.Addresses)
		}
		if d.Backend != "" && !d.Up {
			about += ", down"
		}
		rows = append(rows, []string{"device " + d.Name, about})
	}
	rows = append(rows, []string{"backend", string(st.Backend.Kind) + ": " + st.Backend.Why},
		[]string{"routes", fmt.Sprintf("%d of %d", st.Routes.Installed, st.Routes.Wanted)},
		[]string{"firewall", firewallFact(st)})
	rows = append(rows, routingFacts(st)...)
	if a := st.LastApply; a != nil {
		rows = append(rows, []string{"last apply", fmt.Sprintf("%s, %d changes in %s", a.At.Format(time.RFC3339), a.Changes,
			time.Duration(a.Duration*float64(time.Second)).Round(time.Millisecond/10))})
	}
	repairs := 0
	for _, n := range st.Repairs {
		repairs += n
	}
	rows = append(rows, []string{"drift repaired", strconv.Itoa(repairs)})
	if st.LastError != "" {
		rows = append(rows, []string{"last error", st.LastError})
	}
	return rows
}

func controllerFacts(c *agent.Contact) [][]string {
	if c == nil {
		return nil
	}
	heard := "never heard"
	if c.Heard != nil {
		heard = "heard " + c.Heard.Format(time.RFC3339)
	}
	revision := strconv.FormatUint(c.Epoch, 10)
	if c.OnTrial {
		revision += ", which no controller has confirmed yet"
	}
	rows := [][]string{{"controller", heard}, {"fabric revision", revision}}
	for _, w := range c.Warnings {
		rows = append(rows, []string{"warning", w})
	}
	return rows
}

func firewallFact(st *agent.Status) string {
	if !st.Firewall.InPlace {
		return "not in place"
	}
	var dropped uint64
	for _, n := range st.Firewall.Dropped {
		dropped += n
	}
	return fmt.Sprintf("in place, %d packets dropped", dropped)
}

func paintState(s console.Style, cell string) string {
	switch {
	case strings.HasPrefix(cell, string(agent.Up)):
		return s.Green(cell)
	case strings.HasPrefix(cell, string(agent.Stale)):
		return s.Red(cell)
	}
	return s.Dim(cell)
}

// size writes bytes as wg(8) does: in powers of 1,024.
func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
