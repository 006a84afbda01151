package diag

import "slices"

// fabricFile returns the codes RW1xxx: what is wrong with a fabric file.
func fabricFile() []Entry {
	return slices.Concat(document(), names(), addresses(), topology(), policy(), routing())
}

// document returns RW10xx: the text and its shape.
func document() []Entry {
	return []Entry{
		{"RW1001", "The file is not YAML",
			"The text breaks YAML's own rules, so nothing can be said about its meaning. The position is where the reader gave up; the cause is often a bracket, a quote or the indentation one line above.",
			"Correct the line named or the one before it. Text that holds a colon followed by a space, or begins with one of [ { * & ! | > % @, stands in quotes."},
		{"RW1002", "The file is too large or nests too deep",
			"A fabric file holds at most 4 MiB and nests at most 64 levels. Ten thousand prefixes take a tenth of that.",
			"Make sure that it is the right file. A fabric that really is so large is better split in two."},
		{"RW1003", "A character that cannot be seen",
			"Control characters, and characters that reorder or join the text around them, make a file mean something else than a reviewer sees. They are refused everywhere, in comments too, as is text that is not UTF-8.",
			"Delete the character at the position named. An editor that shows invisible characters helps; retyping the line always does."},
		{"RW1004", "A feature of YAML that is not used here",
			"Anchors, aliases, merge keys, tags and further documents hide what a file says from whoever reads it.",
			"Write out what the alias stands for; remove the tag; keep one document per file."},
		{"RW1005", "An unknown key",
			"A key that nobody reads is a wish that nobody fulfils, so it is refused rather than ignored.",
			"Correct the spelling (the message names the nearest key that exists here) or remove it. docs/fabric-file.md lists every key."},
		{"RW1006", "A key twice",
			"The same key stands twice in one mapping. YAML readers differ in which of them they believe.",
			"Keep one of the two."},
		{"RW1007", "A value of the wrong kind",
			"A list stands where text belongs, a number is not written in decimal digits, or a key has no value at all.",
			"Give the kind that the message asks for. Names that look like numbers stand in quotes. A key without a value is removed."},
		{"RW1008", "Something is missing, or there is too much of it",
			"A key that must be there is not, or a list has too few or too many entries. access is required although it may be empty: a fabric in which everything talks to everything should be somebody's decision.",
			"Add what the message names, or split the list. \"ropeway init\" writes a complete file to start from."},
		{"RW1009", "A word that means nothing here",
			"The value is one of a few words, and this is none of them.",
			"Write one of the words that the message lists."},
	}
}

// names returns RW11xx: names of things.
func names() []Entry {
	return []Entry{
		{"RW1101", "A name that is not a DNS label",
			"Names go into interface descriptions, firewall comments, file names, metrics and host names. As DNS labels (RFC 1123: 1 to 63 lower-case letters, digits and hyphens, a letter or digit at both ends) they need escaping nowhere.",
			"Rename the thing: use1-a rather than USE1_a."},
		{"RW1102", "A name twice",
			"Names of gateways are unique in the fabric, names of places among regions and sites together, names of segments among segments; a list of hubs names each once.",
			"Rename one of the two, or remove the repetition."},
		{"RW1103", "An unknown place",
			"A hub, a link or a selector names a place that is not in the file, or calls a site a region.",
			"Correct the name; the message suggests the nearest."},
		{"RW1104", "An unknown segment",
			"A selector names a segment that the file does not define.",
			"Correct the name, or define it under segments."},
	}
}

// addresses returns RW12xx: prefixes and pools.
func addresses() []Entry {
	return []Entry{
		{"RW1201", "Not a prefix",
			"A prefix is an address and a length: 10.10.0.0/16, 2001:db8:10::/48. IPv4 written as IPv6 (::ffff:10.0.0.0/104) and zones are not.",
			"Write ADDRESS/LENGTH. A single address has length 32, or 128 for IPv6."},
		{"RW1202", "A prefix in another than its canonical form",
			"The address has bits set beyond the length, or is spelled in a way that no tool prints. 10.10.4.5/16 may mean the network or be a slip; a fabric file does not leave it open.",
			"Write the form that the message names."},
		{"RW1203", "Two prefixes overlap",
			"An address belongs to exactly one place: otherwise nobody could say where a packet for it goes, and WireGuard would silently give it to the peer that was configured last.",
			"Shorten or remove one of the two, or renumber one of the places."},
		{"RW1204", "A pool overlaps something",
			"Addresses of tunnels and devices come out of pools. If a pool shared addresses with a place or with another pool, one address would have two owners.",
			"Choose another pool under addressing. Without one, tunnels use 100.64.0.0/16 and a ULA made of the fabric's name."},
		{"RW1205", "A prefix that nobody can own",
			"Default routes, loopback, link-local, multicast and broadcast addresses mean something else on every machine, so no place owns them and no pool holds them.",
			"Name the prefixes that machines behind the gateways really have."},
		{"RW1206", "An endpoint inside the fabric",
			"The endpoint's address lies in a prefix that the fabric routes, or in a pool. The tunnel's own packets would be sent into the tunnel, and it would never come up.",
			"Give the address at which the other gateways reach it without the fabric, usually a public one."},
		{"RW1207", "A pool is too small",
			"Every gateway takes one host number, from 1, out of each pool for links.",
			"Take a larger pool than the message asks for: growing one later renumbers every tunnel."},
		{"RW1208", "Two pools of one family",
			"A pool is one prefix, or one of IPv4 and one of IPv6.",
			"Keep one of each family; a larger prefix takes the place of two."},
		{"RW1209", "A pool that is not used",
			"Warning. No place owns an IPv6 prefix, so tunnels get no IPv6 addresses.",
			"Remove the pool, or give the places that should carry IPv6 their prefixes."},
	}
}

// topology returns RW13xx: who is joined with whom, and over what.
func topology() []Entry {
	return []Entry{
		{"RW1301", "No hubs",
			"In hub-and-spoke and hybrid fabrics spokes reach each other through hubs, so there is at least one.",
			"Name places under topology.hubs, or choose the mode mesh."},
		{"RW1302", "Hubs that mean nothing",
			"Warning. In a mesh every place is joined with every other, and a hub is joined with every other hub whatever it says itself.",
			"Remove hubs, or change the mode."},
		{"RW1303", "A spoke's hub is not a hub",
			"The hubs of a place are some of those under topology.hubs.",
			"Add the place to topology.hubs, or choose one that is there."},
		{"RW1304", "Two gateways that cannot meet",
			"The topology joins their places, and neither has an endpoint: both would wait for the other to begin. Between two joined places every gateway of one has a tunnel to every gateway of the other, so that any of them may fail.",
			"Give one of the two an endpoint. Sites behind NAT that cannot have one meet through a hub: choose the mode hub-and-spoke or hybrid."},
		{"RW1305", "An endpoint twice",
			"Two gateways cannot be reached at the same address and port.",
			"Correct the address, or give one of them another port (behind one NAT: forward that port to it)."},
		{"RW1306", "An endpoint that nobody reaches",
			"An endpoint is a canonical IPv4 or IPv6 address or a DNS name in lower case, without a port, and not a loopback, link-local, multicast or unspecified address.",
			"Write the form that the message names. The port stands under port:."},
		{"RW1307", "A port out of range",
			"UDP ports go from 1 to 65535.",
			"Correct the number, or remove it: 51820 is the default."},
		{"RW1308", "An MTU out of range",
			"An underlay carries at least 576 bytes, and at least 1280 where its packets may be IPv6 (RFC 8200): only a path whose endpoints are all IPv4 addresses is known not to. No IP packet is larger than 65535 bytes.",
			"Correct the figure: it counts the whole outer IP packet. 1500 is Ethernet and the Internet; PPPoE has 1492; clouds carry up to 9001 inside."},
		{"RW1309", "Too small an MTU for IPv6 inside",
			"WireGuard takes 60 bytes over IPv4 and 80 over IPv6. What is left is the MTU of the tunnel, and Linux switches IPv6 off on an interface below 1280.",
			"Raise the underlay's MTU, or give the fabric no IPv6 prefixes."},
		{"RW1310", "A link that is none",
			"A link joins two different places, and stands in the file once.",
			"Correct the names, or merge the two entries."},
		{"RW1311", "A link that changes nothing",
			"Warning. The topology joins the two places already, and the entry says nothing about their path.",
			"Remove it, or give it underlay: {mtu: …}."},
		{"RW1312", "A direct link in a hub-and-spoke fabric",
			"There, spokes reach each other through hubs and in no other way.",
			"Choose the mode hybrid, or remove the link."},
		{"RW1313", "Endpoints of different families",
			"Warning. One gateway is reached over IPv4 and the other over IPv6. Each can begin towards the other only where its machine has the other's family.",
			"See that both machines have IPv4 and IPv6 on the underlay, or give both endpoints of one family."},
	}
}

// policy returns RW14xx: segments, access and tests.
func policy() []Entry {
	return []Entry{
		{"RW1401", "Not a selector",
			"from and to name addresses: region/NAME, site/NAME, segment/NAME, a prefix, an address or any. A test's to may also be ADDRESS:PORT/tcp, ADDRESS:PORT/udp or ADDRESS/icmp.",
			"Write one of these forms. An IPv6 address with a port stands in brackets, and the whole in quotes: \"[2001:db8::5]:443/tcp\"."},
		{"RW1402", "A selector of addresses that nobody owns",
			"The rule is about addresses outside every place's prefixes. The fabric carries no packet to or from them.",
			"Correct the prefix, or add it to the place that owns it."},
		{"RW1403", "A segment takes what nobody owns",
			"Every address of a segment belongs to a place.",
			"Name prefixes inside those of places. The message names the first address without an owner."},
		{"RW1404", "Not a service",
			"ports is a list of tcp/443, tcp/8000-8100, udp/53 or icmp. Ports go from 1 to 65535.",
			"Correct the entry. All of TCP is tcp/1-65535; every protocol is the rule without ports."},
		{"RW1406", "A test of addresses that nobody owns",
			"No place owns the address, so nothing could ever answer.",
			"Correct the address, or add its prefix to a place."},
		{"RW1407", "Nothing of this crosses the fabric",
			"Warning. Both ends lie in one place, whose own traffic does not pass its gateways' tunnels, or one end has only IPv4 and the other only IPv6 addresses. The entry permits, forbids and proves nothing.",
			"Correct or remove it. What happens within a place is for the place's own security groups or firewall."},
		{"RW1408", "A denied test that asks for a path",
			"Warning. Where nothing may get through, there is no path to be symmetric or to have an MTU.",
			"Remove symmetric and mtu, or expect: reachable."},
	}
}

// routing returns RW15xx: how routes come about.
func routing() []Entry {
	return []Entry{
		{"RW1501", "An interval that is none",
			"BFD sends a packet each way in every interval. Below 50 ms a packet or two that a busy machine holds up is a neighbour lost; above 10 s BGP's own timers are sooner.",
			"Write 50ms to 10s: 100ms, 300ms, 1s."},
		{"RW1502", "A multiplier out of range",
			"A neighbour is lost when this many packets in a row are missed (RFC 5880, section 6.8.1). One would be every packet that is ever lost.",
			"Write 2 to 255; 3 is usual."},
		{"RW1503", "A number of tunnels out of range",
			"One to 16 parallel tunnels join two gateways. One tunnel is one flow to a cloud, and one core to most of what handles it; more than 16 help nobody.",
			"Write 1 to 16."},
		{"RW1504", "An AS number that cannot be",
			"AS numbers go from 1 to 4294967294, and every place has one of its own: a route that has passed a number is not taken there again. 4200000001 to 4200065536 are given out by Ropeway, to places that name none.",
			"Take a number out of 64512-65534 or 4200065537-4294967294, which are private (RFC 6996), or your own; or leave asn out."},
		{"RW1505", "A router's address that cannot be",
			"Gateways speak BGP with a router of their place over its LAN, so its address is one that the place owns, and no two neighbors share one.",
			"Give the address that the gateways reach it by without the fabric."},
		{"RW1506", "A hasty BFD",
			"Warning. Where tunnels fill the processors of a small machine, packets of BFD wait their turn: three times 100 ms lost neighbours that were there, three times 300 ms did not.",
			"Write 300ms, or see that gateways have cores to spare."},
		{"RW1507", "Said of BGP where routing is static",
			"With static routing no gateway speaks with another, so what is said of that means nothing.",
			"Write routing: {mode: bgp}, or remove the key."},
		{"RW1508", "A prefix that a router may not announce",
			"A router of a place may announce what its place owns, and longer prefixes of that: nobody else's. A session carries the family of its addresses.",
			"Add the prefix to the place, or remove it from accept; for two families name the router twice, with an address of each."},
		{"RW1509", "A community that cannot be",
			"A community is a mark that routers match: two numbers up to 65535 (RFC 1997) or three up to 4294967295 (RFC 8092). Those that begin with 0 or 65535 are orders to routers or reserved; large ones that begin with 114 are what Ropeway's gateways tell each other.",
			"Take one that begins with an AS number of yours, as 64512:100 or 4200000001:1:2, and name it once."},
		{"RW1510", "A number of prepends out of range",
			"The place's AS number is put before a path 1 to 10 times more. Who does not take another way for ten will not for more, and some networks refuse long paths.",
			"Write 1 to 10, or leave prepend out."},
		{"RW1520", "Tunnels that buy nothing",
			"Warning. Parallel tunnels help where one is the limit: a flow of a cloud (5 Gbit/s on EC2), or a core that handles it. Where access lets nothing through, where a gateway has fewer cores than tunnels, or where the instance " +
				"as a whole gets no more than one flow may have, more of them only cost sessions and ports. What a gateway has is known from its cores in the file.",
			"Write fewer tunnels for the link, or give the gateway more cores."},
		{"RW1521", "A number of cores that cannot be",
			"cores says how many CPUs the machine of a gateway has: 1 to 8192.",
			"Write what nproc says there, or leave it out."},
		{"RW1522", "A gateway's address that cannot be",
			"The gateways of a place that hold its route table among themselves watch each other over the place's LAN. So each has an address there, all of one family, and no other gateway or router has it; an address that another place owns " +
				"is reached through the tunnels.",
			"Give every gateway of the place the address that the others reach it by without the fabric."},
		{"RW1523", "A table that nobody can take over",
			"takeOver is for a place of two gateways or more whose routers learn nothing. Routers that speak BGP with the gateways (neighbors) learn by themselves which of them to use.",
			"Remove takeOver, or neighbors; or add a gateway."},
		{"RW1524", "Routers that learn nothing of one family",
			"Warning. A session with a router of the place carries routes of the family of its address. Where the place has prefixes of the other family, too, nobody tells its routers where packets for such prefixes of other places go.",
			"Add a neighbor with the router's address of that family; it may be the same router."},
	}
}
