package stability_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/anishathalye/porcupine"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/lab"
	"ropeway/internal/lab/netns"
	"ropeway/internal/lab/world"
	"ropeway/internal/member"
)

// An office is where people speak to the controllers of a lab.
type office struct {
	l       *lab.Lab
	servers []string
}

// operator returns the membership of the operator, fresh from its file: each conversation has its own.
func (o *office) operator() (*member.Member, error) {
	return member.Load(filepath.Join(home(o.l), "operator", "member.json"))
}

// talk speaks to a controller as the operator.
func (o *office) talk(server string, about func(ropewayv1connect.FabricServiceClient) error) error {
	m, err := o.operator()
	if err != nil {
		return err
	}
	client, err := o.client(m, server)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	return about(ropewayv1connect.NewFabricServiceClient(client, server))
}

func newOffice(t *testing.T, l *lab.Lab) *office {
	t.Helper()
	s, err := l.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	own, err := lab.Open(l.Name) // a lab is one goroutine's
	if err != nil {
		t.Fatal(err)
	}
	o := &office{l: own}
	for _, machine := range s.Machines {
		if machine.Kind == world.Controller {
			o.servers = append(o.servers, fmt.Sprintf("https://%s:8443", machine.Addresses[0]))
		}
	}
	return o
}

// client returns a way to speak to one of the controllers as a member, from the operator's machine.
func (o *office) client(as *member.Member, server string) (*http.Client, error) {
	as.Dial = func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		ns, err := netns.Open("rwlab." + o.l.Name + "." + strings.ReplaceAll(world.OperatorSpace, "/", "."))
		if err != nil {
			return nil, err
		}
		defer ns.Close()
		err = ns.Do(func() error {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
	return as.HTTP(server)
}

// A history is what people asked, and what they were told when.
type history struct {
	o  *office
	mu sync.Mutex

	operations []porcupine.Operation
	doubtful   []int             // operations whose answer was lost
	told       map[uint64]string // acknowledged revision → its file
}

// An input asks for the newest number, or for a commit of a file on a base.
type input struct {
	commit bool
	base   uint64
	file   string
}

// An output is the newest number.
type output struct {
	number uint64
	moved  bool // it was not the base; which one it was is not said
}

func newHistory(o *office) *history { return &history{o: o, told: map[uint64]string{}} }

func (h *history) note(client int, in input, out output, begun time.Time, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !known {
		h.doubtful = append(h.doubtful, len(h.operations))
	}
	h.operations = append(h.operations, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: begun.UnixNano(), Return: time.Now().UnixNano()})
	if known && in.commit && !out.moved {
		h.told[out.number] = in.file
	}
}

// answerTimeout is how long a person waits for a controller before he asks another.
const answerTimeout = 2 * time.Second

// person reads and changes the fabric until stop, at whichever controller answers. Every change of his is unlike all others.
func (h *history) person(t *testing.T, number int, stop <-chan struct{}) {
	for turn := 0; ; turn++ {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(100+30*number) * time.Millisecond):
		}
		server := h.o.servers[(number+turn)%len(h.o.servers)]
		err := h.o.talk(server, func(f ropewayv1connect.FabricServiceClient) error {
			h.oneTurn(t, number, turn, f)
			return nil
		})
		if err != nil {
			t.Error(err)
			return
		}
	}
}

func (h *history) oneTurn(t *testing.T, number, turn int, fabrics ropewayv1connect.FabricServiceClient) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), answerTimeout)
	defer cancel()
	begun := time.Now()
	r, err := fabrics.GetRevision(ctx, &ropewayv1.GetRevisionRequest{})
	if err != nil {
		absent(t, err)
		return
	}
	h.note(number, input{}, output{number: r.Revision.Number}, begun, true)
	in := input{commit: true, base: r.Revision.Number, file: fabric(fmt.Sprintf("tcp/%d", 1000+number), fmt.Sprintf("tcp/%d", 2000+turn%60000))}
	begun = time.Now()
	done, err := fabrics.Apply(ctx, &ropewayv1.ApplyRequest{File: []byte(in.file), Name: "steady.yaml", Base: in.base, AtOnce: true})
	switch {
	case err == nil && done.Changed:
		h.note(number, in, output{number: done.Revision}, begun, true)
	case err == nil:
		t.Errorf("the file of person %d at turn %d changes nothing", number, turn)
	case connect.CodeOf(err) == connect.CodeAborted:
		h.note(number, in, output{moved: true}, begun, true)
	default:
		absent(t, err)
		h.note(number, in, output{}, begun, false)
	}
}

// absent fails where an error is not one of a controller that is away, cut off, or has no room.
func absent(t *testing.T, err error) {
	t.Helper()
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeCanceled, connect.CodeResourceExhausted:
	default:
		t.Logf("a controller said: %v (%s)", err, connect.CodeOf(err))
	}
}

// look returns a revision, the newest one for 0, of whichever controller answers.
func (o *office) look(t *testing.T, number uint64) (found *ropewayv1.GetRevisionResponse) {
	t.Helper()
	eventually(t, fmt.Sprintf("somebody answers about revision %d", number), func() error {
		var failures []error
		for _, server := range o.servers {
			err := o.talk(server, func(f ropewayv1connect.FabricServiceClient) (err error) {
				ctx, cancel := context.WithTimeout(t.Context(), answerTimeout)
				defer cancel()
				found, err = f.GetRevision(ctx, &ropewayv1.GetRevisionRequest{Number: number})
				return err
			})
			if err == nil || connect.CodeOf(err) == connect.CodeNotFound {
				return nil
			}
			failures = append(failures, err)
		}
		return errors.Join(failures...)
	})
	return found
}

// last reads the newest number once more.
func (h *history) last(t *testing.T) uint64 {
	t.Helper()
	begun := time.Now()
	number := h.o.look(t, 0).Revision.Number
	h.note(1000, input{}, output{number: number}, begun, true) // nobody has that number
	return number
}

// file returns the file of a revision.
func (h *history) file(t *testing.T, number uint64) string {
	t.Helper()
	return string(h.o.look(t, number).GetFile())
}

// judge holds what people were told against what there is, and against some order of events.
func (h *history) judge(t *testing.T) {
	t.Helper()
	last := h.last(t)
	for number, want := range h.told {
		if got := h.file(t, number); got != want {
			t.Errorf("revision %d was acknowledged and is lost, or another's: %.200q", number, got)
		}
	}
	happened := 0
	drop := map[int]bool{}
	for _, at := range h.doubtful { // the fence decides for ever: either it is the one after its base, or it never will be
		op := &h.operations[at]
		in := op.Input.(input)
		if in.base < last && h.file(t, in.base+1) == in.file {
			op.Output, op.Return = output{number: in.base + 1}, time.Now().UnixNano()
			happened++
		} else {
			drop[at] = true
		}
	}
	var certain []porcupine.Operation
	for i, op := range h.operations {
		if !drop[i] {
			certain = append(certain, op)
		}
	}
	t.Logf("%d operations, %d revisions acknowledged, %d in doubt, of which %d happened", len(h.operations), len(h.told), len(h.doubtful), happened)
	if got := porcupine.CheckOperationsTimeout(model(), certain, patience); got != porcupine.Ok {
		t.Errorf("is the history linearizable? %s", got)
	}
}

// model is a register that only grows, by one, for whoever knows it. It begins where the lab has brought it.
func model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return uint64(1) },
		Step: func(state, in, out any) (bool, any) {
			now, asked, told := state.(uint64), in.(input), out.(output)
			switch {
			case !asked.commit:
				return told.number == now, now
			case told.moved:
				return asked.base != now, now
			}
			return asked.base == now && told.number == now+1, now + 1
		},
	}
}
