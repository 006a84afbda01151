package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/console"
	"ropeway/internal/member"
)

func newClusterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cluster", Short: "See and change which controllers keep the fabric", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newClusterStatusCommand(), newClusterRemoveCommand())
	return cmd
}

// A controllerLine is a row of cluster status.
type controllerLine struct {
	Name    string    `json:"name"`
	URL     string    `json:"url,omitempty"`
	PeerURL string    `json:"peerURL,omitempty"`
	Role    string    `json:"role"`  // leader, follower, learner, or "external" where the store is somebody else's etcd
	State   string    `json:"state"` // well, full, damaged, no quorum, or no answer
	Version string    `json:"version,omitempty"`
	Etcd    string    `json:"etcd,omitempty"`
	Size    int64     `json:"storeSize,omitempty"`  // bytes on disk
	InUse   int64     `json:"storeInUse,omitempty"` // of which hold something
	Quota   int64     `json:"storeQuota,omitempty"`
	Index   uint64    `json:"index,omitempty"` // how far it is in the cluster's log
	Started time.Time `json:"started,omitzero"`
	Message string    `json:"message,omitempty"` // why it does not answer
}

func newClusterStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the controllers, who leads, and how their stores are",
		Long: `Status asks one controller who the others are, and each of them how it is: so it also shows which ones are reached from here. Of three, two keep the
fabric going; of five, three.`,
		Args: cobra.NoArgs,
	}
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		lines := []controllerLine{}
		err := talk(cmd, func(r *remote) error {
			answer, err := r.cluster.ListControllers(cmd.Context(), &ropewayv1.ListControllersRequest{})
			if err == nil {
				lines = askAll(cmd.Context(), r.member, answer.Controllers)
			}
			return err
		})
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		return console.Show(out, styleOf(cmd, out), format.Format, lines, func() *console.Table { return controllerTable(lines) })
	}
	return cmd
}

// askAll asks every controller how it is, all at once.
func askAll(ctx context.Context, m *member.Member, list []*ropewayv1.Controller) []controllerLine {
	lines := make([]controllerLine, len(list))
	var all sync.WaitGroup
	for i, c := range list {
		all.Go(func() { lines[i] = askOne(ctx, m, c) })
	}
	all.Wait()
	return lines
}

// askTimeout is how long one controller has to say how it is.
const askTimeout = 6 * time.Second

func askOne(ctx context.Context, m *member.Member, c *ropewayv1.Controller) controllerLine {
	line := controllerLine{Name: c.Name, URL: c.Url, PeerURL: c.PeerUrl, Role: "follower", State: "no answer"}
	switch {
	case c.Learner:
		line.Role = "learner"
	case c.PeerUrl == "":
		line.Role = "external"
	}
	if c.Url == "" {
		line.Message = "it has not come yet"
		return line
	}
	client, err := m.HTTP(c.Url)
	if err != nil {
		line.Message = err.Error()
		return line
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	st, err := ropewayv1connect.NewClusterServiceClient(client, c.Url).GetController(ctx, &ropewayv1.GetControllerRequest{})
	if err != nil {
		line.Message = err.Error()
		return line
	}
	line.answered(st)
	return line
}

func (l *controllerLine) answered(st *ropewayv1.GetControllerResponse) {
	if st.Embedded && st.Leader == st.Member {
		l.Role = "leader"
	}
	l.Version, l.Etcd, l.Size, l.InUse, l.Quota, l.Index, l.Started = st.Version, st.EtcdVersion, st.StoreSize, st.StoreInUse, st.StoreQuota, st.Index, st.Started.AsTime()
	switch {
	case !st.Answers:
		l.State = "no quorum"
	case st.Damaged:
		l.State = "damaged"
	case st.Full:
		l.State = "full"
	default:
		l.State = "well"
	}
}

func controllerTable(lines []controllerLine) *console.Table {
	t := &console.Table{
		Columns: []console.Column{
			{Title: "CONTROLLER"}, {Title: "ROLE"}, {Title: "STATE"}, {Title: "STORE"}, {Title: "VERSION"}, {Title: "URL"},
			{Title: "PEER URL", Wide: true}, {Title: "ETCD", Wide: true}, {Title: "INDEX", Wide: true}, {Title: "STARTED", Wide: true}, {Title: "MESSAGE", Wide: true},
		},
		Paint: func(s console.Style, _, column int, cell string) string {
			switch {
			case column != 2:
				return cell
			case cell == "well":
				return s.Green(cell)
			}
			return s.Red(cell)
		},
	}
	for _, l := range lines {
		store, started := "", ""
		if l.State != "no answer" {
			store, started = mebibytes(l.Size)+" of "+mebibytes(l.Quota)+" MiB", l.Started.Format(time.RFC3339)
		}
		t.Rows = append(t.Rows, []string{
			console.Visible(l.Name), l.Role, l.State, store, console.Visible(l.Version), console.Visible(l.URL),
			console.Visible(l.PeerURL), console.Visible(l.Etcd), number(l.Index), started, console.Visible(l.Message),
		})
	}
	return t
}

// mebibytes writes a size that a person compares with a quota.
func mebibytes(n int64) string {
	if n == 0 {
		return "?"
	}
	return fmt.Sprintf("%.1f", float64(n)/(1<<20))
}

func newClusterRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a controller out of the cluster, for ever",
		Long: `Remove takes a controller out of the cluster: one that is dead and is to be replaced, or one that is no longer wanted, which then ends. It is refused
where those that are left could not go on without it. To replace it: ropeway token create --controller NAME, and ropewayd serve --join with an empty directory.

The keys of the authority that it had remain good. Where it may be in wrong hands, removing it is not enough.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return talk(cmd, func(r *remote) error {
				if _, err := r.cluster.RemoveController(cmd.Context(), &ropewayv1.RemoveControllerRequest{Name: args[0]}); err != nil {
					return err
				}
				return say(cmd, "Controller %s is none of this fabric any more.\n", console.Visible(args[0]))
			})
		},
	}
}
