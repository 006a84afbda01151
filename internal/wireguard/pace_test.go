package wireguard

import "testing"

func TestCPUs(t *testing.T) {
	for _, tt := range []struct {
		what        string
		n, most     int
		own, others float64
		want        int
	}{
		{"idle", 1, 2, 0, 0, 1},
		{"busy, with room on its own CPU", 1, 2, 0.7, 0.1, 1},
		{"fills its CPU, the other one is idle", 1, 2, 0.95, 0.1, 2},
		{"fills its CPU, interrupts take a part of the other one", 1, 2, 0.95, 0.45, 2},
		{"fills its CPU, somebody else the other one", 1, 2, 0.95, 0.9, 1},
		{"fills both", 2, 2, 1.9, 0.1, 2},
		{"had both, somebody else came", 2, 2, 1.2, 0.8, 1},
		{"had both, needs one", 2, 2, 0.5, 0, 1},
		{"had both, uses a bit more than one", 2, 2, 1.1, 0, 2},
		{"the machine is crowded", 1, 2, 0.3, 2.5, 1},
		{"the only CPU", 1, 1, 1, 0, 1},
		{"many CPUs, one step at a time", 3, 16, 2.9, 1, 4},
		{"many CPUs, one step back", 9, 16, 2.9, 1, 8},
		{"many CPUs, most of them are others'", 4, 16, 4, 13.2, 3},
		{"clocks that do not agree", 1, 2, 1.1, -0.2, 2},
	} {
		if got := cpus(tt.n, tt.most, tt.own, tt.others); got != tt.want {
			t.Errorf("%s: %d of %d CPUs, used %g, others %g: got %d, want %d", tt.what, tt.n, tt.most, tt.own, tt.others, got, tt.want)
		}
	}
}

func TestBusyTicks(t *testing.T) {
	got, err := busyTicks("cpu  100 20 3 9999 888 7 6 5 50 10")
	if err != nil || got != 100+20+3+7+6+5 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, line := range []string{"", "cpu", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8 9 10", "cpu a b c d e f g h"} {
		if _, err := busyTicks(line); err == nil {
			t.Errorf("%q was read", line)
		}
	}
	u, err := used()
	all, other := busy()
	if err != nil || other != nil || u.own <= 0 || all < u.own-0.1 {
		t.Errorf("this machine: %+v, %g, %v, %v", u, all, err, other)
	}
}
