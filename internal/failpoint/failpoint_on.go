//go:build failpoint

package failpoint

import (
	"os"

	"golang.org/x/sys/unix"
)

// After kills this process after the step that ROPEWAY_FAILPOINT names, as a power cut would: no deferred call runs.
func After(step string) {
	if os.Getenv("ROPEWAY_FAILPOINT") == step {
		_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
		select {} // the signal is on its way
	}
}
