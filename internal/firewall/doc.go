// Package firewall carries out the firewall of a plan: one nftables table, `inet ropeway`. What the table means is said at
// plan.Firewall; it touches no other table.
//
// Compile makes the table as data, a Ruleset: sets, counters, chains, and rules made of statements. Each statement has two
// renderings. One is text, for nft and for people (Render). The other is what the kernel takes (Apply), over netlink, with no
// process in between: the nft command reads whole sets before it changes one element, which takes seconds for a large one.
//
// Lists of prefixes are sets, and equal lists are one set. Counters are objects of their own. So a plan that changes a prefix
// changes an element; one that changes a rule replaces the rules of its chain; counters, and the flows that connection tracking
// knows, go on. One transaction does all of a change that packets notice: they meet the table before it or after it, and a
// transaction that the kernel refuses has not happened.
//
// What the kernel holds is compared with what should be there rule by rule and element by element, as the kernel itself tells it,
// and without a mark that others could copy. To do so every second would cost too much with large sets, so the client listens to
// the news that nftables sends of every transaction: as long as nobody else has touched the table, it holds what it held.
package firewall
