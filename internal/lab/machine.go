package lab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ropeway/internal/lab/world"
)

// namePrefix begins the name of every namespace of every lab. No part of a name holds a dot, so no lab's prefix begins another's.
const namePrefix = "rwlab."

// spaceName is the file name of a space's namespace.
func spaceName(lab, space string) string {
	return labPrefix(lab) + strings.ReplaceAll(space, "/", ".")
}

func labPrefix(lab string) string { return namePrefix + lab + "." }

// freshMachine is how a machine of the lab starts. Whatever the kernel would copy from the machine that the lab runs on is set.
//
// A gateway starts like a machine that somebody just installed: it forwards nothing until its agent says so. What stands for the
// rest of the world forwards, and tells of every packet that it drops: a rate limit would make two probes in a row disagree.
func freshMachine(kind world.Kind) map[string]string {
	keys := map[string]string{
		"net/ipv4/conf/all/rp_filter":      "0",
		"net/ipv4/conf/default/rp_filter":  "0",
		"net/ipv6/conf/all/accept_dad":     "0",
		"net/ipv6/conf/default/accept_dad": "0",
		"net/ipv6/conf/all/accept_ra":      "0",
		"net/ipv6/conf/default/accept_ra":  "0",
		"net/ipv6/conf/all/disable_ipv6":   "0",
		"net/ipv4/ip_forward":              "0",
		"net/ipv6/conf/all/forwarding":     "0",
	}
	if kind == world.Gateway {
		return keys
	}
	keys["net/ipv4/icmp_ratelimit"] = "0"
	keys["net/ipv6/icmp/ratelimit"] = "0"
	if kind == world.Router { // of several gateways, one takes all packets of a flow
		keys["net/ipv4/fib_multipath_hash_policy"] = "1"
		keys["net/ipv6/fib_multipath_hash_policy"] = "1"
	}
	if kind != world.Host {
		keys["net/ipv4/ip_forward"] = "1"
		keys["net/ipv6/conf/all/forwarding"] = "1"
	}
	return keys
}

// setSysctls writes kernel settings in the namespace of the calling thread. A key that this kernel does not have is none to set.
func setSysctls(values map[string]string) error {
	for key, value := range values {
		err := os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set %s: %w", key, err)
		}
	}
	return nil
}

// joinClose closes what a failed function would have handed out.
func joinClose(err error, c io.Closer) error { return errors.Join(err, c.Close()) }
