package bgp

import (
	"fmt"
	"os"
	"strings"
)

// MaxPassword is the longest password of TCP MD5 that the kernel takes, in bytes (TCP_MD5SIG_MAXKEYLEN).
const MaxPassword = 80

// Ended reports whether a process is gone, sockets and all, or waits for nothing but its parent. It loses its command line some time before.
func Ended(pid int) bool {
	state := Stat(pid)
	return len(state) == 0 || state[0] == "Z" || state[0] == "X"
}

// Stat returns what the kernel tells of a process after its name, which may have spaces and parentheses in it: its state first, field 3 of proc(5). Nothing where it is gone.
func Stat(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(data[strings.LastIndex(string(data), ")")+1:]))
}
