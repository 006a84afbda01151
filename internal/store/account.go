package store

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"

	"ropeway/internal/audit"
)

// What the audit log says of each change. The names of actions are for good: people search for them.

// word is what the name of an action can be made of.
var word = regexp.MustCompile(`^[a-z][a-z0-9-]*`)

// committed is the entry of a revision: "fabric.apply", "fabric.rollback", as the first word of its kind says. One that was made in spite of findings
// is "fabric.override", and the key that a gateway brought is "key.register".
func committed(number uint64, r Revision) audit.Entry {
	verb := word.FindString(strings.ToLower(r.Kind))
	e := audit.Entry{
		At: r.At.UnixMilli(), Who: r.Author, What: "fabric." + cmp.Or(verb, "change"), Object: fmt.Sprintf("revision/%d", number),
		Revision: number, Outcome: audit.Done, Override: r.Override, Detail: r.Reason,
	}
	if verb != r.Kind { // "apply at once": that belongs to it
		e.Detail = strings.TrimSuffix(r.Kind+": "+r.Reason, ": ")
	}
	switch {
	case r.Kind == "enroll":
		e.What, e.Object = "key.register", r.Author
	case len(r.Override) > 0:
		e.What = "fabric.override"
	}
	return e
}

// promised is the entry of a token that was made.
func promised(r *tokenRecord) audit.Entry {
	e := audit.Entry{Who: r.Author, What: "token.create", Object: "token/" + r.ID, Outcome: audit.Done}
	e.Detail = fmt.Sprintf("for %s, until %s", r.Identity, r.Expires.UTC().Format(time.RFC3339))
	if len(r.Places) > 0 {
		e.Detail += ", bound to " + strings.Join(r.Places, " and ")
	}
	if r.Replace {
		e.Detail += ", in the place of who is that already"
	}
	return e
}

// enrolled is the entry of a token that made a member. Who shows a token is whom it makes: nothing else is known of him.
func enrolled(r *tokenRecord, was *sighting) audit.Entry {
	e := audit.Entry{Who: r.Identity, What: "member.enroll", Object: r.Identity, Outcome: audit.Done, Detail: "by token " + r.ID}
	if was.record != nil {
		e.What = "member.replace"
	}
	return e
}

// stepped is the entry of a step of a rollout that makes no revision: a wave that was admitted, a pause, the end. Beginning and going back are
// revisions, and have theirs.
func stepped(r Rollout) audit.Entry {
	return audit.Entry{
		At: r.At.UnixMilli(), Who: r.By, What: "rollout.step", Object: fmt.Sprintf("revision/%d", r.Revision), Revision: r.Revision, Outcome: audit.Done,
		Detail: fmt.Sprintf("%s, wave %d of %d", r.State, r.Wave+1, r.Total()),
	}
}
