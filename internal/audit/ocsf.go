package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// What OCSF calls an entry (https://schema.ocsf.io/1.3.0/classes/api_activity): somebody called an API, and this is what came of it. What it
// says of an entry beside the entry's own fields is for whoever sorts events by these numbers. It never changes, not even for actions that
// come later: a line has one rendering, and exports are kept for years.
const (
	ocsfVersion  = "1.3.0"
	ocsfCategory = 6    // Application Activity
	ocsfClass    = 6003 // API Activity
)

// activity returns the activity_id of an action, by its verb.
func activity(what string) int64 {
	switch what[strings.LastIndexByte(what, '.')+1:] {
	case "create", "enroll", "register":
		return 1
	case "apply", "override", "rollback", "replace", "renew":
		return 3 // update
	case "revoke", "trim":
		return 4 // delete
	}
	return 99 // other
}

// severity returns the severity_id: informational, low for what was refused, medium for what was done in spite of a finding.
func severity(e Entry) int64 {
	switch {
	case e.Outcome == Refused:
		return 2
	case len(e.Override) > 0:
		return 3
	}
	return 1
}

// userType returns the type_id of whoever did something: unknown, a user, an administrator, the system.
func userType(who string) int64 {
	role, _, _ := strings.Cut(who, "/")
	switch role {
	case Nobody:
		return 0
	case "admin":
		return 2
	case Controller:
		return 3
	}
	return 1
}

// Line returns an entry of a log as an event of OCSF, a line without its end. Positions count from 0.
func Line(log string, position int64, e Entry) []byte {
	w := writer{b: make([]byte, 0, 640)}
	w.object("", func() {
		w.number("class_uid", ocsfClass)
		w.number("category_uid", ocsfCategory)
		w.number("activity_id", activity(e.What))
		w.number("type_uid", ocsfClass*100+activity(e.What))
		w.number("severity_id", severity(e))
		w.number("time", e.At)
		w.number("end_time", e.Until)
		w.number("count", e.Count)
		w.number("status_id", map[Outcome]int64{Done: 1, Refused: 2}[e.Outcome])
		w.text("status", map[Outcome]string{Done: "Success", Refused: "Failure"}[e.Outcome])
		w.text("status_code", e.Code)
		w.text("status_detail", e.Detail)
		w.object("actor", func() {
			w.object("user", func() {
				w.text("name", e.Who)
				w.whole("type_id", userType(e.Who))
			})
		})
		w.object("api", func() {
			w.text("operation", e.What)
			w.object("service", func() { w.text("name", Controller) })
		})
		w.object("src_endpoint", func() {
			w.text("ip", e.From)
			if e.From == "" {
				w.text("svc_name", Controller)
			}
		})
		w.resources(e.Object)
		w.object("unmapped", func() {
			w.revision(e.Revision)
			w.texts("override", e.Override)
		})
		w.object("metadata", func() {
			w.text("version", ocsfVersion)
			w.object("product", func() {
				w.text("name", "Ropeway")
				w.text("vendor_name", "Ropeway")
			})
			w.text("log_name", log)
			w.whole("sequence", position)
			w.text("uid", fmt.Sprintf("%s/%d", log, position))
		})
	})
	return w.b
}

func (w *writer) resources(object string) {
	if object == "" {
		return
	}
	w.name("resources")
	w.b = append(w.b, '[')
	w.object("", func() { w.text("name", object) })
	w.b = append(w.b, ']')
}

// event is what ParseLine looks for in a line. The rest follows from it.
type event struct {
	Time     int64  `json:"time"`
	EndTime  int64  `json:"end_time"`
	Count    int64  `json:"count"`
	StatusID int64  `json:"status_id"`
	Code     string `json:"status_code"`
	Detail   string `json:"status_detail"`
	Actor    struct {
		User struct {
			Name string `json:"name"`
		} `json:"user"`
	} `json:"actor"`
	API struct {
		Operation string `json:"operation"`
	} `json:"api"`
	Source struct {
		IP string `json:"ip"`
	} `json:"src_endpoint"`
	Resources []struct {
		Name string `json:"name"`
	} `json:"resources"`
	Unmapped struct {
		Revision uint64   `json:"revision"`
		Override []string `json:"override"`
	} `json:"unmapped"`
	Metadata struct {
		Sequence int64 `json:"sequence"`
	} `json:"metadata"`
}

// ParseLine takes nothing but what Line writes for the log, or returns ErrFormat.
func ParseLine(log string, line []byte) (position int64, e Entry, err error) {
	var v event
	if err := json.Unmarshal(line, &v); err != nil {
		return 0, Entry{}, fmt.Errorf("%w: it is no JSON of the kind", ErrFormat)
	}
	e = Entry{
		At: v.Time, Until: v.EndTime, Count: v.Count, Who: v.Actor.User.Name, What: v.API.Operation, From: v.Source.IP,
		Revision: v.Unmapped.Revision, Outcome: map[int64]Outcome{1: Done, 2: Refused}[v.StatusID], Code: v.Code, Override: v.Unmapped.Override, Detail: v.Detail,
	}
	if len(v.Resources) > 0 {
		e.Object = v.Resources[0].Name
	}
	if err := e.check(); err != nil {
		return 0, Entry{}, err
	}
	if position = v.Metadata.Sequence; position < 0 || !bytes.Equal(Line(log, position, e), line) {
		return 0, Entry{}, fmt.Errorf("%w: something in it was changed, added or left out", ErrFormat)
	}
	return position, e, nil
}
