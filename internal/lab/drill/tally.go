package drill

import "time"

// A Tally is what became of all probes of a pair that was watched.
type Tally struct {
	From, To string // places
	Sent     int
	Lost     int           // that did not arrive
	Missed   int           // without an answer, those that were lost included
	Blackout time.Duration // the longest without answers; 0: every probe was answered, or none after the first that was not
	Took     time.Duration // from the first probe to the last one
}

// NewTally counts the probes of a pair, of which so many have not arrived.
func NewTally(p Pair, probes []Probe, lost int) Tally {
	t := Tally{From: p.From, To: p.To, Sent: len(probes), Lost: lost}
	_, t.Missed, t.Blackout = Judge(probes, true)
	if len(probes) > 0 {
		t.Took = probes[len(probes)-1].Sent - probes[0].Sent
	}
	return t
}

// Rate returns how many probes were sent a second.
func (t Tally) Rate() float64 { return float64(t.Sent-1) / t.Took.Seconds() }
