package agent

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// What counts as quiet.
const (
	lookEvery = 250 * time.Millisecond
	quietFor  = 2 * time.Second
)

// awaitQuiet returns true once nothing was forwarded for quietFor, and false with what is forwarded in a second where ctx ends first.
//
// It goes by what the kernel has forwarded from one interface to another. That counts packets of those who use the gateway and no other: the sessions,
// probes and handshakes of the gateway's own are delivered or sent, not forwarded.
func awaitQuiet(ctx context.Context, forwarded func() (uint64, error)) (quiet bool, perSecond float64, err error) {
	type look struct {
		at      time.Time
		packets uint64
	}
	var looks []look // of the last quietFor
	for {
		n, err := forwarded()
		if err != nil {
			return false, 0, err
		}
		now := look{time.Now(), n}
		looks = append(looks, now)
		for len(looks) > 1 && now.at.Sub(looks[1].at) >= quietFor {
			looks = looks[1:]
		}
		took := now.at.Sub(looks[0].at)
		if took >= quietFor && now.packets == looks[0].packets {
			return true, 0, nil
		}
		if !sleep(ctx, lookEvery) {
			if took > 0 {
				perSecond = float64(now.packets-looks[0].packets) / took.Seconds()
			}
			return false, perSecond, nil
		}
	}
}

// forwarded returns how many packets the kernel has forwarded, of both families, in the network namespace of the thread that asks.
func forwarded() (uint64, error) {
	v4, err := os.ReadFile("/proc/thread-self/net/snmp")
	if err != nil {
		return 0, fmt.Errorf("count what is forwarded: %w", err)
	}
	v6, err := os.ReadFile("/proc/thread-self/net/snmp6")
	if err != nil && !os.IsNotExist(err) { // the kernel has no IPv6
		return 0, fmt.Errorf("count what is forwarded: %w", err)
	}
	return forwardedOf(v4, v6)
}

// forwardedOf reads ForwDatagrams of net/snmp (RFC 4293: ipSystemStatsOutForwDatagrams), where a line names the values of the next, and Ip6OutForwDatagrams of
// net/snmp6, where each line has a name and a value.
func forwardedOf(v4, v6 []byte) (uint64, error) {
	total, found := uint64(0), false
	var names []string
	for line := range bytes.Lines(v4) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 || fields[0] != "Ip:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "ForwDatagrams" && i < len(fields) {
				n, err := strconv.ParseUint(fields[i], 10, 64)
				if err != nil {
					return 0, fmt.Errorf("count what is forwarded: %w", err)
				}
				total, found = total+n, true
			}
		}
	}
	if !found {
		return 0, fmt.Errorf("count what is forwarded: the kernel does not tell")
	}
	for line := range bytes.Lines(v6) {
		fields := strings.Fields(string(line))
		if len(fields) != 2 || fields[0] != "Ip6OutForwDatagrams" {
			continue
		}
		n, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("count what is forwarded: %w", err)
		}
		total += n
	}
	return total, nil
}
