// Package sink carries the audit log to where others look for it: a file of JSON lines, syslog, or a collector behind HTTPS.
//
// A Sink takes events in the order of the log and says whether it has them. How far one came stands in a Bookmark on disk, which is moved
// after the sink has taken an event and never before: an event may come twice, after a crash, and none is left out. Every event has its place in the log
// with it (metadata.uid), by which whoever receives it can tell. What cannot be delivered waits in the log itself, so nobody who changes the fabric ever waits
// for a sink.
package sink

import (
	"context"

	"ropeway/internal/audit"
)

// An Event is an entry of the log at its place.
type Event struct {
	Position int64
	Entry    audit.Entry
	Line     []byte // of JSON, with the names of OCSF, without its end
}

// A Sink takes events. It is used by one goroutine at a time.
type Sink interface {
	// Name returns what the sink is called in logs and by its bookmark: "file", "syslog", "https".
	Name() string
	// Send returns nil once the sink has all of them. After an error it may have some, and all are sent again.
	Send(ctx context.Context, events []Event) error
	Close() error
}
