package bird

import (
	"net/netip"

	"ropeway/internal/bgp"
)

// Render returns the configuration for people and other tools. Passwords are not in it: the name of each stands in its place. Routers of the place are taken to be in a
// prefix of an interface; a daemon that the agent runs looks.
func Render(c *bgp.Config) (string, error) {
	shown, reaches := *c, map[netip.Addr]reach{}
	shown.Passwords = map[string]string{}
	for _, n := range c.Neighbors {
		if n.Password != "" {
			shown.Passwords[n.Password] = "<password:" + n.Password + ">"
		}
		if n.External() {
			reaches[n.Address] = reach{direct: true}
		}
	}
	return render(&shown, reaches, exportedLogDir)
}

// exportedLogDir is where a daemon that somebody else runs writes its log.
const exportedLogDir = "/var/log"
