package verify

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// workers is how many goroutines a proof uses at most: it is meant for machines that do something else beside.
const workers = 2

// parallel calls f for every i below n, from at most two goroutines that end before it does. The first argument of f is the number of
// the goroutine.
func parallel(n int, f func(worker, i int)) {
	if runtime.GOMAXPROCS(0) == 1 || n < 2 {
		for i := range n {
			f(0, i)
		}
		return
	}
	const chunk = 4 // few enough to share the work evenly, enough to keep neighbours together
	var next atomic.Int64
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for {
				first := int(next.Add(chunk)) - chunk
				if first >= n {
					return
				}
				for i := first; i < min(first+chunk, n); i++ {
					f(worker, i)
				}
			}
		})
	}
	all.Wait()
}
