package gate

// Counted returns how many connections are counted for anybody.
func Counted(g *Gate) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.strangers + len(g.all) - 1 // the gate holds one for the next that comes
	for _, m := range g.members {
		n += m
	}
	for _, a := range g.addresses {
		n += a.strangers
	}
	return n
}
