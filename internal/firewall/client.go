package firewall

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ropeway/internal/plan"
)

// A Client keeps the table `inet ropeway` of one network namespace: that of the thread which first uses it after New or Close.
// One goroutine at a time may call its methods.
type Client struct {
	socket *socket
	watch  *watch
	state  *State // what the table holds while nobody touches it; nil: to be read

	plan *plan.Gateway // the last one applied, which never changes, and what it compiled to
	want *Ruleset
}

// New returns a client. It opens its sockets when it is first used; Close closes them.
func New() *Client { return &Client{} }

// Close gives back the sockets. The table stays.
func (c *Client) Close() error {
	var errSocket, errWatch error
	if c.socket != nil {
		errSocket = c.socket.close()
	}
	if c.watch != nil {
		errWatch = c.watch.socket.close()
	}
	*c = Client{}
	return errors.Join(errSocket, errWatch)
}

// forget makes the next Observe read everything.
func (c *Client) forget() { c.state = nil }

func (c *Client) open() (err error) {
	if c.socket == nil {
		if c.socket, err = dial(receiveBuffer); err != nil {
			return err
		}
	}
	if c.watch == nil {
		c.watch, err = newWatch()
		return err
	}
	return c.watch.listen(true)
}

// readTries bounds how often a table is read that changes while it is read.
const readTries = 5

// Observe returns what the kernel holds of the table. It reads everything once; afterwards it only asks whether somebody else has
// touched the table since, which takes microseconds, so it may be called every second whatever the size of the sets.
func (c *Client) Observe(ctx context.Context) (*State, error) {
	if err := c.open(); err != nil {
		return nil, err
	}
	touched, err := c.watch.touched(c.socket.port)
	if err != nil {
		c.forget()
		return nil, err
	}
	if c.state != nil && !touched {
		return c.state, ctx.Err()
	}
	return c.read(ctx, nil)
}

// read reads the table until nothing changes meanwhile. Elements of the known sets it takes as given.
func (c *Client) read(ctx context.Context, known map[string]*set) (*State, error) {
	c.forget()
	for range readTries {
		state, changed, err := read(ctx, c.socket, known)
		if err != nil {
			return nil, err
		}
		touched, err := c.watch.touched(c.socket.port)
		if err != nil {
			return nil, err
		}
		if !touched && !changed {
			c.state = state
			return state, nil
		}
		if known = state.sets; touched {
			known = nil
		}
	}
	return nil, fmt.Errorf("table %s %s changed each of the %d times it was read: something keeps writing", TableFamily, TableName, readTries)
}

// bulk is the number of elements above which a transaction is not listened to: hearing of each element costs more than reading
// the table afterwards.
const bulk = 1000

// Apply makes the table be what the plan says. Packets meet the old table or the new one, nothing between: one transaction does all
// that they notice.
// It returns what it changed, empty where nothing had to change; with an error, what it changed before that was noticed, or nil.
// A plan that is not valid is refused and changes nothing. Apply is as cheap as Observe while plan and table stay what they were.
func (c *Client) Apply(ctx context.Context, g *plan.Gateway) (*Change, error) {
	if g != c.plan {
		if err := g.Validate(); err != nil {
			return nil, fmt.Errorf("the plan is not valid: %w", err)
		}
		c.plan, c.want = g, Compile(g)
	}
	change, err := c.attempt(ctx)
	if refused := (*commitError)(nil); errors.As(err, &refused) { // perhaps somebody changed the table in between: look again, once
		c.forget()
		change, err = c.attempt(ctx)
	}
	if err != nil {
		c.forget()
		return change, fmt.Errorf("apply the firewall: %w", err)
	}
	return change, nil
}

func (c *Client) attempt(ctx context.Context) (*Change, error) {
	have, err := c.Observe(ctx)
	if err != nil {
		return nil, err
	}
	change := Diff(have, c.want)
	if change.Empty() {
		if have.settled != c.want.digest {
			c.state = have.with(nil, c.want.digest)
		}
		return change, nil
	}
	if change.elements() > bulk {
		c.forget()
		if err := c.watch.listen(false); err != nil {
			return nil, err
		}
	}
	for _, t := range change.batches() {
		if err := c.socket.commit(ctx, t); err != nil {
			return nil, err
		}
	}
	return change, c.confirm(ctx, change)
}

// confirm reads back what a change has made. The elements of sets that were there before, to which the kernel has acknowledged
// each difference, are not read again unless somebody else has touched the table.
func (c *Client) confirm(ctx context.Context, change *Change) error {
	if err := c.open(); err != nil {
		return err
	}
	touched, err := c.watch.touched(c.socket.port)
	if err != nil {
		return err
	}
	known := change.kept()
	switch {
	case touched, c.state == nil:
		known = nil
	case change.elementsOnly():
		c.state = c.state.with(change.after, c.want.digest)
		return nil
	}
	got, err := c.read(ctx, known)
	if err != nil {
		return err
	}
	if left := Diff(got, c.want); !left.Empty() {
		return fmt.Errorf("the kernel does not hold what it was given: %s", strings.Join(left.Lines(), "; "))
	}
	c.state = got.with(nil, c.want.digest)
	return nil
}

// Remove deletes the table, and nothing else. Removing a table that is not there is not an error.
func (c *Client) Remove(ctx context.Context) error {
	if err := c.open(); err != nil {
		return err
	}
	c.forget()
	t := &batch{}
	t.add(unix.NFT_MSG_DELTABLE, 0, "delete the table")
	if err := c.socket.commit(ctx, t); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove the firewall: %w", err)
	}
	return nil
}

// Counters are what the table has counted since it was made. They go on counting when rules or elements change.
type Counters struct {
	Access  map[int]Counter    // by plan.Rule.ID: the packets that opened a flow; those that follow are not counted
	Dropped map[string]Counter // by why: "in", "out", "transit", "guard", "invalid", "input"
	Answers Counter            // answers to questions that this gateway did not see
}

// A Counter counts packets and their bytes, IP headers included.
type Counter struct{ Packets, Bytes uint64 }

// Counters returns what the table has counted: nothing where there is no table.
func (c *Client) Counters(ctx context.Context) (Counters, error) {
	out := Counters{Access: map[int]Counter{}, Dropped: map[string]Counter{}}
	if err := c.open(); err != nil {
		return out, err
	}
	each := func(b []byte) {
		name := findText(b, unix.NFTA_OBJ_NAME)
		if findText(b, unix.NFTA_OBJ_TABLE) != TableName || findUint(b, unix.NFTA_OBJ_TYPE) != objectCounter {
			return
		}
		counted := Counter{
			Packets: findUint(b, unix.NFTA_OBJ_DATA, unix.NFTA_COUNTER_PACKETS),
			Bytes:   findUint(b, unix.NFTA_OBJ_DATA, unix.NFTA_COUNTER_BYTES),
		}
		if name == counterAnswers {
			out.Answers = counted
		}
		if why, ok := strings.CutPrefix(name, prefixDropped); ok {
			out.Dropped[why] = counted
		}
		if id, err := strconv.Atoi(strings.TrimPrefix(name, prefixAccess)); err == nil {
			out.Access[id] = counted
		}
	}
	if _, err := c.socket.get(ctx, unix.NFT_MSG_GETOBJ, true, each, text(unix.NFTA_OBJ_TABLE, TableName)); err != nil {
		return out, fmt.Errorf("read the counters of table %s: %w", TableName, err)
	}
	return out, nil
}
