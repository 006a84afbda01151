// Package diagnose says whether a fabric is well, and if not, why: the one cause first that explains most, then what is wrong beside it. It is pure:
// facts go in, causes come out, and the same facts give the same words.
//
// Whoever looks at a thousand gateways of which forty are red wants to know the one thing that happened. So what follows from something else is not
// listed beside it but under it: a place whose gateways are all away explains each of them and every link that ends there; where everybody is away
// it is not everybody's fault.
package diagnose

// A State is how a gateway is, as far as its controller sees.
type State string

// The states.
const (
	Absent State = "not enrolled" // no machine became this gateway yet
	Away   State = "away"         // it is not connected; it goes on with what it has
	Behind State = "behind"       // it has not said yet that it is what the newest revision says
	Ill    State = "ill"          // it is, and something is wrong
	Well   State = "well"
)

// Facts are what is known.
type Facts struct {
	Fabric      string
	Revision    uint64       // the newest; 0: there is none yet
	Gateways    []Gateway    // in any order
	Links       []Link       // of the plan
	Sessions    []Session    // in any order, and of one both ends may tell
	Controllers []Controller // as far as somebody asked
	Store       Store

	// Where plans are signed outside the controllers.
	Unsigned   bool     // the newest revision waits for somebody who signs
	KeysToSign []string // gateways whose keys do
}

// A Gateway is one of the plan.
type Gateway struct {
	Name, Place string
	State       State
	Pending     bool   // no other gateway has its key
	Message     string // what it says of itself
	Hindrance   string // why it stays behind, with its code; "": nothing but time keeps it
	Heard       string // when it was last heard, in words; "": never, or before the controller started
	Has, Wants  uint64 // revisions
	Stands      int    // things that drifted and could not be undone
	Undone      int    // things that drifted of late and were

	// Where it speaks BGP.
	Silent           string // its routing daemon, which does not run; "": it does
	Drained          bool   // an operator wants it so
	Up               int    // sessions, those with routers of its place among them
	Learnt, Promised int    // prefixes that it has a route to, and those that it should have one to as far as the plan says
}

// A Session is a BGP session that is not up, as one of its ends tells.
type Session struct {
	Gateway, Neighbor string
	External          bool   // the neighbour is a router of the place
	State             string // in words
}

// A Link is a tunnel of the plan between two gateways.
type Link struct {
	A, B    string
	Carries bool // rather than standing by
	Learnt  bool // routes over it are learnt: what it carries goes by others where there are any

	Unheard []string // those of its ends that hear nothing of the other through the tunnel, although they did
}

// A Controller is one that was asked.
type Controller struct {
	Name string
	Why  string // it does not answer; "": it does
}

// A Store is where the fabric is kept. A Quota of 0 means that it is not known.
type Store struct{ Size, Quota int64 } // bytes

// A Weight says how bad a cause is.
type Weight string

// The weights, the heaviest first.
const (
	Outage  Weight = "outage"  // packets are lost, or would be as far as anybody can see
	Fault   Weight = "fault"   // something is broken, and something else carries on
	Waiting Weight = "waiting" // something has to happen that has not yet
	Notice  Weight = "notice"  // worth knowing; nothing is wrong now
)

// A Cause is one thing that is wrong.
type Cause struct {
	Weight   Weight   `json:"weight"`
	Subject  string   `json:"subject"`            // "place west", "gateway gw2", "store"
	What     string   `json:"what"`               // one line
	Explains []string `json:"explains,omitempty"` // what follows from it, a line each
	Next     string   `json:"next"`               // what to do

	gateways, links int // how many it explains
}

// A Verdict says how a fabric is.
type Verdict struct {
	Well   bool    `json:"well"`   // nothing is wrong but notices
	Causes []Cause `json:"causes"` // the one that explains most first
}
