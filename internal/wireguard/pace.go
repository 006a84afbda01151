package wireguard

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A pacer has the process of a device run on as many CPUs as it can use, and no more. A packet goes through four goroutines. On one CPU they take
// turns, each with what the one before left in its cache; on two, each hands over by waking a thread, and where the other CPU has work of its own,
// that costs more than it gives: on a machine of two CPUs that carry both ends of a tunnel and the programs at them, 1.8 Gbit/s instead of 2.5. A
// device that fills its CPU on a machine with others idle is given one more, four times a second. What the machine does is asked only of one that fills
// it: /proc/stat takes long to read where there are many CPUs and interrupts.
type pacer struct {
	most int // CPUs that this process may use at all
	now  int
	last usage
}

// A usage is CPU time: what this process has used, and what the machine has, both in seconds since some moment.
type usage struct {
	at   time.Time
	own  float64
	busy float64 // 0: not asked
}

func newPacer() *pacer {
	p := &pacer{most: runtime.GOMAXPROCS(0), now: 1}
	runtime.GOMAXPROCS(p.now)
	p.last, _ = used()
	return p
}

// look adapts the number of CPUs to what happened since the last look. Where the machine does not tell, it stays.
func (p *pacer) look() {
	u, err := used()
	if err != nil {
		return
	}
	seconds := u.at.Sub(p.last.at).Seconds()
	own := (u.own - p.last.own) / seconds
	if p.now > 1 || own > full {
		if u.busy, err = busy(); err != nil {
			return
		}
	}
	was := p.last
	p.last = u
	if u.busy == 0 || was.busy == 0 {
		return
	}
	others := (u.busy-was.busy)/seconds - own
	if n := cpus(p.now, p.most, own, others); n != p.now {
		p.now = n
		runtime.GOMAXPROCS(n)
	}
}

// full is how much of its CPUs a process uses that could use one more, and unneeded how much of one fewer a process uses that has one too many.
const full, unneeded = 0.85, 0.6

// cpus returns how many CPUs a process should run on that ran on n, used own of them, and shares the machine with others that used so many.
func cpus(n, most int, own, others float64) int {
	free := max(1, min(most, int(float64(most)-others+0.5)))
	switch {
	case n > free || n > 1 && own < unneeded*float64(n-1):
		return n - 1
	case n < free && own > full*float64(n):
		return n + 1
	}
	return n
}

// ticksPerSecond is the unit of /proc/stat: USER_HZ, 100 on everything that Go runs on (proc_stat(5)).
const ticksPerSecond = 100

// used reads the CPU time that this process used so far.
func used() (usage, error) {
	u := usage{at: time.Now()}
	var own unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &own); err != nil {
		return u, fmt.Errorf("read the CPU time of this process: %w", err)
	}
	u.own = float64(own.Utime.Nano()+own.Stime.Nano()) / 1e9
	return u, nil
}

// busy reads the CPU time that the machine used so far, in seconds.
func busy() (float64, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	ticks, err := busyTicks(line)
	return float64(ticks) / ticksPerSecond, err
}

// busyTicks reads the line "cpu user nice system idle iowait irq softirq steal guest guest_nice": all but idle, iowait, and the two that are part
// of user and nice.
func busyTicks(line string) (uint64, error) {
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q, want the times of all CPUs", line)
	}
	var sum uint64
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/stat: %w", err)
		}
		sum += n
	}
	return sum, nil
}
